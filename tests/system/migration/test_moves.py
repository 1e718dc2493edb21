"""A guest arrives with what it was doing: live, stopped for the journey, paused, there and back."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from harness import migrants
from harness.each_qemu import EACH_QEMU
from harness.migrants import ONE_PASS, SLOW, TICKS

pytestmark = [pytest.mark.migration, pytest.mark.rather_3_1, pytest.mark.one_in(2)]

MIB = 1 << 20


@EACH_QEMU
def test_live_there_and_back(nodes, make, tmp_path):
    guest = make(nodes, nics=1, disk_folder=str(tmp_path), **ONE_PASS, **TICKS)
    name = guest["name"]
    with migrants.serial(nodes.source, guest) as here:
        migrants.next_tick(here)
    for pair in (nodes, nodes.reversed()):
        info = pair.accept(guest)
        assert pair.target.run_state(name) == "inmigrate"
        with (
            migrants.Ticks(pair.source, guest) as here,
            migrants.Ticks(pair.target, guest) as there,
        ):
            pair.source.call("MigrateInstance", guest, pair.address, True)
            began = time.monotonic()
            assert pair.wait(guest)[-1]["status"] == "completed"
            assert pair.run_states(name) == ("postmigrate", "running")
            pair.finish(guest, info)
            migrants.wait_until(lambda: len(there.seen) > 3, 20, "ticks on the target")
        numbers = [number for _, number in here.seen + there.seen]
        assert numbers == sorted(set(numbers)), "it counts on from where it was, on one node"
        assert migrants.stood_still(here, there) < there.seen[0][0] - began + 1
        assert pair.run_states(name) == ("gone", "running")
        assert pair.source.files() == []
        assert pair.target.call("ListInstances") == [name]
        assert len(json.loads((pair.target.run_folder / f"conf/{name}.runtime").read_text())) == 4
        tap = (pair.target.run_folder / f"nic/{name}/0").read_text()
        assert Path(f"/sys/class/net/{tap}/master").resolve().name == "br0"


@EACH_QEMU
def test_non_live_runs_afterwards(nodes, make):
    guest = make(nodes, **TICKS, migration_bandwidth=20)
    with migrants.serial(nodes.source, guest) as here:
        before = migrants.next_tick(here)
    info = nodes.begin(guest, live=False)
    assert nodes.run_states(guest["name"]) == ("paused", "inmigrate")
    with migrants.serial(nodes.target, guest) as there:
        nodes.wait(guest)
        nodes.finish(guest, info, live=False)
        assert before <= migrants.next_tick(there, 20) < before + 1000
    assert nodes.run_states(guest["name"]) == ("gone", "running")


@EACH_QEMU
@pytest.mark.parametrize("live", [True, False])
def test_a_paused_guest_stays_paused(nodes, make, live):
    guest = make(nodes, **ONE_PASS)
    nodes.source.qemu(guest["name"], "stop")
    nodes.migrate(guest, live=live)
    assert nodes.run_states(guest["name"]) == ("gone", "paused")


@EACH_QEMU
def test_a_guest_that_was_started_paused_and_runs_now(nodes, make):
    guest = make(nodes, paused=True, **ONE_PASS)
    assert nodes.source.run_state(guest["name"]) == "prelaunch"
    nodes.source.qemu(guest["name"], "cont")
    info = nodes.begin(guest)
    nodes.wait(guest)
    migrants.wait_for(nodes.target, guest["name"], "running")  # before Ganeti is told
    nodes.finish(guest, info)
    runtime = (nodes.target.run_folder / f"conf/{guest['name']}.runtime").read_text()
    assert "-S" in json.loads(runtime)[0]


def test_a_guest_that_never_ran(nodes, make):
    guest = make(nodes, paused=True, **ONE_PASS)
    nodes.migrate(guest)
    assert nodes.run_states(guest["name"]) == ("gone", "prelaunch")


def test_limits_reach_qemu(nodes, make):
    guest = make(nodes, migration_bandwidth=3, migration_downtime=77)
    info = nodes.begin(guest)
    limits = nodes.source.qemu(guest["name"], "query-migrate-parameters")
    assert limits["max-bandwidth"] == 3 * MIB
    assert limits["max-postcopy-bandwidth"] == 3 * MIB
    assert limits["downtime-limit"] == 77
    assert nodes.abort(guest, info) == ("", "")


def capabilities(remote, guest) -> set[str]:
    answer = remote.qemu(guest["name"], "query-migrate-capabilities")
    return {entry["capability"] for entry in answer if entry["state"]}


def test_capabilities_on_both_ends(nodes, make):
    guest = make(nodes, migration_caps="xbzrle:events", **ONE_PASS)
    info = nodes.begin(guest)
    assert {"xbzrle", "events"} <= capabilities(nodes.source, guest)
    assert {"xbzrle", "events"} <= capabilities(nodes.target, guest)
    nodes.wait(guest)
    nodes.finish(guest, info)
    assert not {"xbzrle", "events"} & capabilities(nodes.target, guest)


def test_capabilities_after_an_abort(nodes, make):
    guest = make(nodes, migration_caps="xbzrle:events", **SLOW)
    info = nodes.begin(guest)
    assert nodes.abort(guest, info) == ("", "")
    assert not {"xbzrle", "events"} & capabilities(nodes.source, guest)


@EACH_QEMU
def test_a_capability_that_makes_qemu_wait(nodes, make):
    guest = make(nodes, migration_caps="pause-before-switchover", **ONE_PASS)
    nodes.migrate(guest)
    assert nodes.run_states(guest["name"]) == ("gone", "running")


@EACH_QEMU
def test_postcopy(nodes, make):
    endless = {"migration_bandwidth": 8, "migration_downtime": 1}  # until it is switched
    guest = make(nodes, migration_caps="postcopy-ram", **endless, **TICKS)
    with migrants.serial(nodes.source, guest) as here:
        before = migrants.next_tick(here)
    info, refusal = nodes.try_accept(guest)
    if refusal:  # userfaultfd is not for everybody
        assert "postcopy" in refusal.lower()
        assert nodes.run_states(guest["name"]) == ("running", "gone")
        assert nodes.target.files() == []
        return
    with migrants.serial(nodes.target, guest) as there:
        nodes.source.call("MigrateInstance", guest, nodes.address, True)
        answers = nodes.wait(guest)
        assert migrants.next_tick(there, 20) >= before
    assert [a["postcopy_status"] for a in answers].count("postcopy-active") == 1
    nodes.finish(guest, info)
    assert nodes.run_states(guest["name"]) == ("gone", "running")


def test_ipv6(nodes, make):
    pair = type(nodes)(nodes.source, nodes.target, "::1")
    guest = make(pair, **ONE_PASS)
    pair.migrate(guest)
    assert pair.run_states(guest["name"]) == ("gone", "running")
