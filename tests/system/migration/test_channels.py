"""The setting migration_channels: several connections for an encrypted migration."""

from __future__ import annotations

import pytest

from harness import encrypted, migrants, node
from harness.each_qemu import EACH_QEMU
from harness.encrypted import ENCRYPTED, PLAIN, keys, listens
from harness.migrants import ONE_PASS, SLOW
from harness.wire import FAR_END, NEAR_END, Wire

pytestmark = pytest.mark.migration

FOUR = {"GANETI_HV_KVM_MIGRATION_CHANNELS": "4"}


@pytest.fixture
def nodes(generation, bridge):
    with encrypted.nodes(generation) as made:
        yield made


def is_on(remote, guest) -> bool:
    told = remote.qemu(guest["name"], "query-migrate-capabilities")
    return {one["capability"]: one["state"] for one in told}["multifd"]


@EACH_QEMU
@pytest.mark.parametrize(
    ("source", "target", "port", "connections"),
    [
        ("prefer", "prefer", ENCRYPTED, 5),
        ("prefer", "off", PLAIN, 1),
        ("prefer", node.ORIGINAL, PLAIN, 1),
    ],
)
def test_as_many_as_both_know_of(nodes, make, source, target, port, connections):
    pair = nodes(source, target, **FOUR)
    guest = make(pair, **ONE_PASS)
    info = pair.information(guest)
    pair.target.call("AcceptInstance", pair.of(guest), info, FAR_END)
    assert listens(pair, guest) == port
    with Wire(port) as wire:
        pair.source.call("MigrateInstance", guest, NEAR_END, True)
        pair.wait(guest)
        pair.finish(guest, info)
        assert wire.connections(port) == connections
    assert pair.run_states(guest["name"]) == ("gone", "running")
    # the next migration may be one to Ganeti's own module
    assert not is_on(pair.target, guest)
    assert keys(pair.source) + keys(pair.target) == []


def test_after_an_abort_there_is_one_again(nodes, make):
    pair = nodes("require", "require", **FOUR)
    guest = make(pair, **SLOW)
    info = pair.begin(guest)
    migrants.wait_for_status(pair.source, guest["name"], "active")
    assert is_on(pair.source, guest)
    assert pair.abort(guest, info) == ("", "")
    assert not is_on(pair.source, guest)
    assert pair.run_states(guest["name"]) == ("running", "gone")
