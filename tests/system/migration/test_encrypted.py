"""Encrypted migration: what is seen on the wire, and who may talk to whom.

The rows marked "more" are for `make test-encryption`; who decides what, whole, is a unit test.
"""

from __future__ import annotations

import os
import secrets

import pytest

from harness import encrypted, migrants, node, paths
from harness.each_qemu import EACH_QEMU
from harness.encrypted import ENCRYPTED, PLAIN, give_secret, keys, listens, move
from harness.guest import KERNEL_ARGS
from harness.migrants import ONE_PASS
from harness.two_nodes import RemoteError
from harness.wire import FAR_END, NEAR_END, Wire

pytestmark = [pytest.mark.migration, pytest.mark.one_in(2)]

MIB = 1 << 20

more = pytest.mark.skipif(
    os.environ.get("ENCRYPTION") != "all", reason="for make test-encryption alone"
)


@pytest.fixture
def nodes(generation, bridge):
    with encrypted.nodes(generation) as made:
        yield made


# What somebody sees who listens


_7, _10 = str(paths.QEMU), str(paths.QEMU_10)


@pytest.mark.parametrize(
    ("qemu", "setting", "caps"),
    [
        (_7, "off", ""),
        (_7, "require", ""),
        pytest.param(_10, "off", "", marks=more),
        pytest.param(_10, "require", "", marks=more),
        (_10, "require", "multifd"),
    ],
    indirect=["qemu"],
)
def test_the_guests_memory_on_the_wire(nodes, make, setting, caps):
    marker = secrets.token_hex(16)
    pair = nodes(setting, setting)
    arguments = {"kernel_args": f"{KERNEL_ARGS} guest.ticks marker={marker}"}
    guest = make(pair, **arguments, **ONE_PASS, migration_caps=caps)
    with migrants.serial(pair.source, guest) as here:
        migrants.next_tick(here)  # it has read its command line, and keeps it
    info = pair.information(guest)
    pair.target.call("AcceptInstance", pair.of(guest), info, FAR_END)
    port = listens(pair, guest)
    with Wire(port) as wire:
        pair.source.call("MigrateInstance", guest, NEAR_END, True)
        pair.wait(guest)
        pair.finish(guest, info)
        assert wire.carried(port) > 10 * MIB
        assert wire.has(marker.encode()) == (setting == "off")
        assert wire.connections(port) >= (3 if caps else 1)
    assert port == (PLAIN if setting == "off" else ENCRYPTED)
    assert pair.run_states(guest["name"]) == ("gone", "running")
    assert keys(pair.source) + keys(pair.target) == []


@EACH_QEMU
@pytest.mark.parametrize("caps", ["", pytest.param("multifd", marks=more)])
def test_non_live(nodes, make, caps):
    pair = nodes("require", "require")
    guest = make(pair, **ONE_PASS, migration_caps=caps)
    assert move(pair, guest, live=False) == ENCRYPTED


@EACH_QEMU
def test_postcopy(nodes, make):
    pair = nodes("require", "require")
    endless = {"migration_bandwidth": 8, "migration_downtime": 1}  # until it is switched
    guest = make(pair, migration_caps="postcopy-ram", **endless, **migrants.TICKS)
    with migrants.serial(pair.source, guest) as here:
        before = migrants.next_tick(here)
    info, refusal = pair.try_accept(guest)
    if refusal:  # userfaultfd is not for everybody
        assert "postcopy" in refusal.lower()
        assert pair.target.files() == []
        return
    assert listens(pair, guest) == ENCRYPTED
    with migrants.serial(pair.target, guest) as there:
        pair.source.call("MigrateInstance", guest, pair.address, True)
        answers = pair.wait(guest)
        assert migrants.next_tick(there, 20) >= before
    assert [a["postcopy_status"] for a in answers].count("postcopy-active") == 1
    pair.finish(guest, info)
    assert pair.run_states(guest["name"]) == ("gone", "running")
    assert keys(pair.source) + keys(pair.target) == []


# Who may talk to whom

BY_TARGET = "requires that it comes encrypted"
BY_SOURCE = "requires that it goes encrypted"


GOES, COMES = "goes unencrypted", "comes unencrypted"


@pytest.mark.parametrize(
    ("source", "target", "outcome", "logged"),
    [
        pytest.param("off", "off", PLAIN, (), marks=more),
        pytest.param("off", "prefer", PLAIN, (COMES,), marks=more),
        ("prefer", "off", PLAIN, (GOES, COMES)),
        pytest.param("prefer", "prefer", ENCRYPTED, (), marks=more),
        pytest.param("prefer", "require", ENCRYPTED, (), marks=more),
        pytest.param("require", "prefer", ENCRYPTED, (), marks=more),
        (node.ORIGINAL, "prefer", PLAIN, (COMES,)),
        ("prefer", node.ORIGINAL, PLAIN, (GOES,)),
    ],
)
def test_who_decides_what(nodes, make, source, target, outcome, logged):
    pair = nodes(source, target)
    assert move(pair, make(pair, **ONE_PASS)) == outcome
    assert (GOES in pair.source.log, COMES in pair.target.log) == (GOES in logged, COMES in logged)


@pytest.mark.parametrize(
    ("source", "target"),
    [("off", "require"), ("require", "off"), (node.ORIGINAL, "require")],
)
def test_refused_by_the_target(nodes, make, source, target):
    pair = nodes(source, target)
    guest = make(pair)
    info, refusal = pair.try_accept(guest)
    assert BY_TARGET in refusal
    assert "runs on where it is" in refusal
    assert pair.target.files() == []
    assert pair.abort(guest, info) == ("", "")
    assert pair.run_states(guest["name"]) == ("running", "gone")
    assert keys(pair.source) + keys(pair.target) == []


@pytest.mark.parametrize("live", [True, False])
def test_refused_by_the_source(nodes, make, live):
    pair = nodes("require", node.ORIGINAL)
    guest = make(pair)
    info = pair.accept(guest)
    with pytest.raises(RemoteError, match=BY_SOURCE) as refused:
        pair.source.call("MigrateInstance", guest, pair.address, live)
    assert refused.value.is_hypervisor_error
    # not even paused for it
    assert pair.run_states(guest["name"]) == ("running", "inmigrate")
    pair.abort(guest, info, live=live)
    assert pair.run_states(guest["name"]) == ("running", "gone")


def test_there_and_back_by_ganetis_own_module(nodes, make):
    """Fault: it keeps the offer that the guest came with, and hands it on."""
    pair = nodes("prefer", node.ORIGINAL)
    guest = make(pair, **ONE_PASS)
    assert move(pair, guest) == PLAIN
    assert move(pair.reversed(), guest) == PLAIN


@pytest.mark.parametrize("setting", ["prefer", "require"])
def test_a_target_without_the_secret(nodes, make, setting):
    pair = nodes(setting, "prefer", secret=False)
    give_secret(encrypted.SECRET, pair.source)
    guest = make(pair, **ONE_PASS)
    if setting == "prefer":
        assert move(pair, guest) == PLAIN
        assert "the cluster's secret cannot be read" in pair.target.log
        return
    _, refusal = pair.try_accept(guest)
    assert "its source requires that it comes encrypted" in refusal
    assert "the cluster's secret cannot be read" in refusal
    assert pair.target.files() == []
    assert pair.run_states(guest["name"]) == ("running", "gone")


@pytest.mark.parametrize("setting", ["prefer", "require"])
def test_a_source_without_the_secret(nodes, make, setting):
    pair = nodes(setting, "prefer", secret=False)
    give_secret(encrypted.SECRET, pair.target)
    guest = make(pair, **ONE_PASS)
    if setting == "prefer":
        assert move(pair, guest) == PLAIN
        assert "cannot be encrypted: the cluster's secret cannot be read" in pair.source.log
        return
    _, refusal = pair.try_accept(guest)
    assert "its source cannot encrypt" in refusal
    with pytest.raises(RemoteError, match=f"{BY_SOURCE}.*this node cannot encrypt it"):
        pair.source.call("MigrateInstance", guest, pair.address, True)
    assert pair.run_states(guest["name"]) == ("running", "gone")
