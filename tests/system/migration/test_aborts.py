"""Whatever goes wrong, and whenever: the guest runs once, or is said to be at the target."""

from __future__ import annotations

import os
import signal
import socket
import subprocess

import pytest

from harness import migrants, proxy
from harness.each_qemu import EACH_QEMU
from harness.migrants import ONE_PASS, SLOW
from harness.two_nodes import RemoteError
from harness.wire import NEAR_END, Wire

pytestmark = [pytest.mark.migration, pytest.mark.one_in(2)]

PORT = 8102  # Ganeti's default


@pytest.fixture
def occupied_port():
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", PORT))
        taken.listen()
        yield


def runs_at_source(nodes, guest) -> None:
    """And nothing is left of the attempt: the next one succeeds."""
    assert nodes.run_states(guest["name"]) == ("running", "gone")
    assert nodes.target.files() == []
    assert not [name for name in nodes.source.files() if name.endswith(".migration")]
    nodes.migrate({**guest, **ONE_PASS})
    assert nodes.run_states(guest["name"]) == ("gone", "running")


# Before anything is sent


def test_the_target_has_no_free_port(nodes, make, occupied_port):
    guest = make(nodes)
    info, refusal = nodes.try_accept(guest)
    assert str(PORT) in refusal
    assert nodes.target.files() == []
    assert nodes.abort(guest, info) == ("", "")
    assert nodes.run_states(guest["name"]) == ("running", "gone")


def test_a_capability_that_nobody_knows(nodes, make):
    guest = make(nodes, migration_caps="no-such-thing")
    info, refusal = nodes.try_accept(guest)
    assert "no-such-thing" in refusal
    assert nodes.target.files() == []
    assert nodes.abort(guest, info) == ("", "")
    runs_at_source(nodes, {**guest, "migration_caps": ""})


def test_accepted_where_it_runs_already(nodes, make):
    guest = make(nodes)
    info = nodes.source.call("MigrationInfo", guest)
    with pytest.raises(RemoteError, match="runs already"):
        nodes.source.call("AcceptInstance", guest, info, "127.0.0.1")
    # what Ganeti does then
    with pytest.raises(RemoteError, match="was not ended"):
        nodes.source.call("FinalizeMigrationDst", guest, info, False)
    assert nodes.source.run_state(guest["name"]) == "running"


@pytest.mark.parametrize("live", [True, False])
def test_accepted_and_no_more(nodes, make, live):
    guest = make(nodes)
    info = nodes.accept(guest)
    assert nodes.abort(guest, info, live=live) == ("", "")
    runs_at_source(nodes, guest)


@pytest.mark.parametrize("live", [True, False])
def test_nobody_listens(nodes, make, live):
    guest = make(nodes)
    nodes.source.call("MigrateInstance", guest, "127.0.0.1", live)
    with pytest.raises(RemoteError, match="refused"):
        nodes.wait(guest)
    nodes.source.call("FinalizeMigrationSource", guest, False, live)
    runs_at_source(nodes, guest)


def test_a_guest_that_does_not_run(nodes, make):
    guest = make(nodes)
    nodes.source.call("StopInstance", guest)
    with pytest.raises(RemoteError, match="does not run"):
        nodes.source.call("MigrateInstance", guest, "127.0.0.1", True)


# While memory is sent


@EACH_QEMU
@pytest.mark.parametrize("live", [True, False])
def test_a_guest_that_came_by_migration_itself(nodes, make, live):
    guest = make(nodes, **ONE_PASS)
    nodes.migrate(guest)
    back = nodes.reversed()
    info = back.accept(guest)
    with proxy.Proxy(back.source.socket(guest["name"], "qmp")) as monitor:
        monitor.fail(proxy.COMMAND, "migrate", proxy.refuse("not today"))
        with pytest.raises(RemoteError, match="not today"):
            back.source.call("MigrateInstance", guest, back.address, live)
    assert back.source.run_state(guest["name"]) == "running"
    assert back.abort(guest, info, live=live) == ("", "")
    with pytest.raises(RemoteError, match="was not ended"):
        back.source.call("FinalizeMigrationSource", guest, True, live)
    runs_at_source(back, guest)


@EACH_QEMU
@pytest.mark.parametrize("live", [True, False])
def test_while_memory_is_sent(nodes, make, live):
    guest = make(nodes, **SLOW)
    info = nodes.begin(guest, live=live)
    migrants.hold(nodes, guest)
    assert nodes.abort(guest, info, live=live) == ("", "")
    runs_at_source(nodes, guest)


@EACH_QEMU
@pytest.mark.parametrize("live", [True, False])
def test_the_target_does_not_hear_of_the_abort(nodes, make, live):
    guest = make(nodes, **SLOW)
    info = nodes.begin(guest, live=live)
    migrants.hold(nodes, guest)
    pid = nodes.target.pid(guest["name"])
    nodes.source.call("FinalizeMigrationSource", guest, False, live)
    assert nodes.source.qemu(guest["name"], "query-migrate")["status"] == "cancelled"
    migrants.wait_for_end(pid)  # it lost its source
    nodes.target.call("FinalizeMigrationDst", guest, info, False)
    runs_at_source(nodes, guest)


@pytest.mark.parametrize("live", [True, False])
def test_a_paused_guest_stays_paused_after_an_abort(nodes, make, live):
    guest = make(nodes, **SLOW)
    nodes.source.qemu(guest["name"], "stop")
    info = nodes.begin(guest, live=live)
    migrants.hold(nodes, guest)
    assert nodes.abort(guest, info, live=live) == ("", "")
    assert nodes.run_states(guest["name"]) == ("paused", "gone")


@EACH_QEMU
def test_the_target_dies(nodes, make):
    guest = make(nodes, **SLOW)
    info = nodes.begin(guest)
    migrants.hold(nodes, guest)
    os.kill(nodes.target.pid(guest["name"]), signal.SIGKILL)
    with pytest.raises(RemoteError, match=r"failed: \w"):
        nodes.wait(guest)
    assert nodes.abort(guest, info) == ("", "")
    runs_at_source(nodes, guest)


def test_the_target_dies_when_it_is_to_take_over(nodes, make):
    guest = make(nodes, **SLOW)
    info = nodes.begin(guest)
    migrants.hold(nodes, guest)
    os.kill(nodes.target.pid(guest["name"]), signal.SIGKILL)
    with pytest.raises(RemoteError, match="its QEMU is gone"):
        nodes.target.call("FinalizeMigrationDst", guest, info, True)


def test_the_source_dies(nodes, make):
    guest = make(nodes, **SLOW)
    info = nodes.begin(guest)
    migrants.hold(nodes, guest)
    os.kill(nodes.source.pid(guest["name"]), signal.SIGKILL)
    with pytest.raises(RemoteError, match=r"ended|closed"):
        nodes.wait(guest)
    assert nodes.abort(guest, info) == ("", "")
    assert nodes.run_states(guest["name"]) == ("gone", "gone")
    assert nodes.source.files() == nodes.target.files() == []


def test_ganeti_says_success_too_early(nodes, make):
    guest = make(nodes, **SLOW)
    info = nodes.begin(guest)
    migrants.hold(nodes, guest)
    with pytest.raises(RemoteError, match="was not ended"):
        nodes.source.call("FinalizeMigrationSource", guest, True, True)
    assert nodes.run_states(guest["name"]) == ("running", "inmigrate")
    assert nodes.abort(guest, info) == ("", "")


def test_sent_twice_at_once(nodes, make):
    guest = make(nodes, **SLOW)
    info = nodes.begin(guest)
    migrants.hold(nodes, guest)
    with pytest.raises(RemoteError, match="under way"):
        nodes.source.call("MigrateInstance", guest, "127.0.0.1", True)
    with pytest.raises(RemoteError, match="not arrived here"):
        nodes.target.call("MigrateInstance", guest, "127.0.0.1", True)
    assert nodes.abort(guest, info) == ("", "")
    runs_at_source(nodes, guest)


def test_a_source_that_is_busy(nodes, make):
    guest = make(nodes, **ONE_PASS)
    info = nodes.begin(guest)
    with (
        migrants.stopped(nodes.source.pid(guest["name"])),
        migrants.later(7, os.kill, nodes.source.pid(guest["name"]), signal.SIGCONT),
    ):
        nodes.wait(guest)
    nodes.finish(guest, info)
    assert nodes.run_states(guest["name"]) == ("gone", "running")


@pytest.mark.parametrize("live", [True, False])
def test_the_network_carries_nothing_any_more(nodes, make, live):
    guest = make(nodes, **SLOW)
    info = nodes.accept(guest)
    with Wire(PORT) as wire:
        nodes.source.call("MigrateInstance", guest, NEAR_END, live)
        migrants.hold(nodes, guest)
        wire.hold()
        # the source is reached first: the target's node is cut off for Ganeti too
        nodes.source.call("FinalizeMigrationSource", guest, False, live)
        assert nodes.run_states(guest["name"]) == ("running", "inmigrate")
        nodes.target.call("FinalizeMigrationDst", guest, info, False)
    runs_at_source(nodes, guest)


@pytest.fixture
def empty_network(bridge):
    """An address where nobody even refuses."""
    subprocess.run(["ip", "address", "add", "192.0.2.1/24", "dev", bridge], check=True)
    yield "192.0.2.2"
    subprocess.run(["ip", "address", "del", "192.0.2.1/24", "dev", bridge], check=True)


@EACH_QEMU
@pytest.mark.parametrize("live", [True, False])
def test_while_it_connects(nodes, make, live, empty_network):
    guest = make(nodes)
    nodes.source.call("MigrateInstance", guest, empty_network, live)
    assert nodes.source.qemu(guest["name"], "query-migrate")["status"] == "setup"
    assert nodes.source.call("GetMigrationStatus", guest)["status"] == "active"
    nodes.source.call("FinalizeMigrationSource", guest, False, live)
    # QEMU 10 accepts no other migration before it gave up to connect
    assert nodes.run_states(guest["name"]) == ("running", "gone")


# After it has completed


@EACH_QEMU
@pytest.mark.parametrize("live", [True, False])
def test_after_completion(nodes, make, live):
    guest = make(nodes, **ONE_PASS)
    info = nodes.begin(guest, live=live)
    nodes.wait(guest)
    target, source = nodes.abort(guest, info, live=live)
    assert "is here" in target
    assert "has left this node" in source
    there = "running" if live else "paused"
    assert nodes.run_states(guest["name"]) == ("postmigrate", there)
    # the other order, and once more
    assert nodes.abort(guest, info, live=live)[1]
    assert nodes.run_states(guest["name"]) == ("postmigrate", there)
    nodes.finish(guest, info, live=live)
    assert nodes.run_states(guest["name"]) == ("gone", "running")


@EACH_QEMU
def test_after_completion_of_a_guest_that_is_reset(nodes, make):
    """A guest whose kernel panics resets itself; in the moment in which it had left, too."""
    guest = make(nodes, **ONE_PASS)
    name = guest["name"]
    info = nodes.begin(guest)
    nodes.wait(guest)
    nodes.source.qemu(name, "system_reset")
    migrants.wait_for(nodes.source, name, "prelaunch")
    assert "has left this node" in nodes.abort(guest, info)[1]
    with pytest.raises(RemoteError, match="has left this node"):
        nodes.source.call("RebootInstance", nodes.of(guest))
    with pytest.raises(RemoteError, match="has left this node already"):
        nodes.source.call("MigrateInstance", nodes.of(guest), nodes.address, True)
    assert nodes.run_states(name) == ("prelaunch", "running")
    nodes.finish(guest, info)
    assert nodes.run_states(name) == ("gone", "running")


@EACH_QEMU
@pytest.mark.parametrize("arrives", [True, False])
def test_one_that_is_reset_while_it_is_paused_for_its_journey(nodes, make, arrives):
    """QEMU carries out a reset that the guest had asked for, and says "prelaunch" from then on."""
    guest = make(nodes, **SLOW)
    name = guest["name"]
    info = nodes.begin(guest, live=False)
    migrants.hold(nodes, guest)
    nodes.source.qemu(name, "system_reset")
    migrants.wait_for(nodes.source, name, "prelaunch")
    if not arrives:
        assert nodes.abort(guest, info, live=False) == ("", "")
        return runs_at_source(nodes, guest)
    nodes.source.qemu(name, "migrate-set-parameters", **{"max-bandwidth": 1 << 30})
    nodes.wait(guest)
    assert nodes.run_states(name) == ("postmigrate", "prelaunch")
    nodes.finish(guest, info, live=False)
    assert nodes.run_states(name) == ("gone", "running")
    return None


def test_only_the_source_hears_of_the_end(nodes, make):
    guest = make(nodes, **ONE_PASS)
    info = nodes.begin(guest)
    nodes.wait(guest)
    nodes.source.call("FinalizeMigrationSource", guest, True, True)
    with pytest.raises(RemoteError, match="was not ended"):
        nodes.target.call("FinalizeMigrationDst", guest, info, False)
    assert nodes.run_states(guest["name"]) == ("gone", "running")


def test_a_source_that_cannot_be_asked_in_the_end(impatient_nodes, make):
    guest = make(impatient_nodes, **ONE_PASS)
    info = impatient_nodes.begin(guest)
    impatient_nodes.wait(guest)
    with migrants.stopped(impatient_nodes.source.pid(guest["name"])):
        impatient_nodes.source.call("FinalizeMigrationSource", guest, True, True)
    assert "cannot be asked" in impatient_nodes.source.log
    impatient_nodes.target.call("FinalizeMigrationDst", guest, info, True)
    assert impatient_nodes.run_states(guest["name"]) == ("gone", "running")


def test_postcopy_is_not_cancelled(nodes, make):
    guest = make(nodes, migration_caps="postcopy-ram", **SLOW)
    info, refusal = nodes.try_accept(guest)
    if refusal:  # userfaultfd is not for everybody
        assert "postcopy" in refusal.lower()
        return
    nodes.source.call("MigrateInstance", guest, nodes.address, True)
    migrants.hold(nodes, guest)
    nodes.source.qemu(guest["name"], "migrate-start-postcopy")
    migrants.wait_for_status(nodes.source, guest["name"], "postcopy-active")
    target, source = nodes.abort(guest, info)
    assert "was not ended" in target
    assert "part of its memory" in source
    nodes.source.qemu(
        guest["name"], "migrate-set-parameters", **{"max-postcopy-bandwidth": 1 << 30}
    )
    nodes.wait(guest)
    nodes.finish(guest, info)
    assert nodes.run_states(guest["name"]) == ("gone", "running")


def test_paused_by_its_owner_meanwhile(nodes, make):
    guest = make(nodes, **SLOW)
    info = nodes.begin(guest)
    migrants.hold(nodes, guest)
    nodes.source.qemu(guest["name"], "stop")
    assert nodes.abort(guest, info) == ("", "")
    assert nodes.run_states(guest["name"]) == ("paused", "gone")
