"""The end of a migration that one of the nodes does not hear."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from harness import migrants
from harness.migrants import ONE_PASS, SLOW
from harness.two_nodes import RemoteError
from harness.wire import NEAR_END, Wire

pytestmark = [pytest.mark.migration, pytest.mark.only_3_0, pytest.mark.one_in(2)]

PORT = 8102


def record(remote, guest):
    """The source's record of a guest that left."""
    return remote.root / "var/lib/ganeti/kvm-departed" / guest["name"]


def of(remote, guest, **configuration):
    """The instance as Ganeti's configuration has it, its primary node the given one."""
    return {**guest, "primary_node": remote.root.parent.name, **configuration}


def arrived(nodes, guest, **options):
    """The guest has gone over, and only QEMU knows."""
    info = nodes.begin(guest, **options)
    nodes.wait(guest)
    return info


# What the source remembers


@pytest.fixture
def unheard(nodes, make):
    """The source was settled; the target's node daemon and Ganeti's configuration were not."""
    guest = make(nodes, serial_no=7, disks_active=True, **ONE_PASS)
    arrived(nodes, guest)
    nodes.source.call("FinalizeMigrationSource", of(nodes.source, guest), True, True)
    yield guest
    record(nodes.source, guest).unlink(missing_ok=True)


def start(remote, guest, **configuration):
    remote.call("StartInstance", of(remote, guest, **configuration))


def test_the_watcher_does_not_start_it_a_second_time(nodes, unheard):
    for _ in range(2):
        with pytest.raises(RemoteError, match=r"not started.*migrate --cleanup"):
            start(nodes.source, unheard)
    # each refusal makes Ganeti change the serial number twice
    with pytest.raises(RemoteError, match="not started"):
        start(nodes.source, unheard, serial_no=9)
    assert nodes.run_states(unheard["name"]) == ("gone", "running")


def test_the_record_outlives_the_files(nodes, unheard):
    nodes.source.call("CleanupInstance", unheard)
    assert nodes.source.files() == []
    with pytest.raises(RemoteError, match="not started"):
        start(nodes.source, unheard)


def test_a_failover_back(nodes, unheard):
    migrants.end(nodes.target, unheard)
    start(nodes.source, unheard, serial_no=8, disks_active=False)
    assert nodes.run_states(unheard["name"]) == ("running", "gone")
    # stopped and started, and nothing is remembered
    nodes.source.call("StopInstance", unheard)
    start(nodes.source, unheard)
    assert not record(nodes.source, unheard).exists()


def test_it_comes_back_by_migration(nodes, unheard):
    back = nodes.reversed()
    back.migrate(unheard)
    assert nodes.run_states(unheard["name"]) == ("running", "gone")
    nodes.source.call("StopInstance", unheard)
    start(nodes.source, unheard)
    assert nodes.run_states(unheard["name"]) == ("running", "gone")
    record(nodes.target, unheard).unlink()


def test_another_instance_of_that_name(nodes, unheard):
    migrants.end(nodes.target, unheard)
    start(nodes.source, unheard, uuid="11111111-2222-4333-8444-555555555555")
    assert nodes.source.run_state(unheard["name"]) == "running"


def test_whoever_ends_its_qemu(nodes, make):
    guest = make(nodes, serial_no=7, **ONE_PASS)
    arrived(nodes, guest)
    pid = nodes.source.pid(guest["name"])
    os.kill(pid, signal.SIGKILL)
    migrants.wait_for_end(pid)
    with pytest.raises(RemoteError, match="has left this node"):
        start(nodes.source, guest)
    record(nodes.source, guest).unlink()


def test_a_source_that_dies_before_anybody_looks(nodes, make):
    guest = make(nodes, serial_no=7, **SLOW)
    nodes.begin(guest)
    migrants.hold(nodes, guest)
    pid = nodes.source.pid(guest["name"])
    os.kill(pid, signal.SIGKILL)
    migrants.wait_for_end(pid)
    with pytest.raises(RemoteError, match="how that ended was never heard"):
        start(nodes.source, guest)
    # Ganeti aborts it on both nodes: that is an end
    nodes.abort(guest, nodes_information(nodes, guest))
    start(nodes.source, guest)
    assert nodes.run_states(guest["name"]) == ("running", "gone")


def nodes_information(nodes, guest):
    return (nodes.target.run_folder / "conf" / f"{guest['name']}.runtime").read_text()


def test_a_reboot_does_not_start_it_a_second_time(nodes, make):
    guest = make(nodes, **ONE_PASS)
    info = arrived(nodes, guest)
    with pytest.raises(RemoteError, match="has left this node"):
        nodes.source.call("RebootInstance", of(nodes.source, guest))
    assert nodes.run_states(guest["name"]) == ("postmigrate", "running")
    nodes.finish(guest, info)
    record(nodes.source, guest).unlink()


def test_a_reboot_of_a_source_that_hangs(nodes, make):
    """Fault: its QEMU was killed after the limit, and the guest ran on both nodes."""
    guest = make(nodes, **ONE_PASS)
    info = arrived(nodes, guest)
    with (
        migrants.stopped(nodes.source.pid(guest["name"])),
        pytest.raises(RemoteError, match=r"not rebooted.*migrate --cleanup"),
    ):
        nodes.source.call("RebootInstance", of(nodes.source, guest))
    assert nodes.run_states(guest["name"]) == ("postmigrate", "running")
    nodes.finish(guest, info)
    record(nodes.source, guest).unlink()


def test_no_room_for_the_record(nodes, make):
    guest = make(nodes, **ONE_PASS)
    folder = record(nodes.source, guest).parent
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)], check=True)
    try:
        info = nodes.accept(guest)
        with pytest.raises(RemoteError, match="cannot be remembered") as caught:
            nodes.source.call("MigrateInstance", guest, nodes.address, True)
        assert caught.value.is_hypervisor_error
        assert nodes.source.run_state(guest["name"]) == "running"
        assert nodes.abort(guest, info) == ("", "")
    finally:
        subprocess.run(["umount", str(folder)], check=True)
    nodes.migrate(guest)
    assert nodes.run_states(guest["name"]) == ("gone", "running")
    record(nodes.source, guest).unlink()


# The target, told nothing


def test_all_that_is_needed_is_there(nodes, make):
    guest = make(nodes, nics=1, **ONE_PASS)
    name = guest["name"]
    nodes.accept(guest)
    # QEMU waits: that is no guest yet
    assert name not in nodes.target.call("GetAllInstancesInfo")
    nodes.source.call("MigrateInstance", of(nodes.source, guest), nodes.address, True)
    nodes.wait(guest)
    nodes.source.call("FinalizeMigrationSource", of(nodes.source, guest), True, True)
    migrants.wait_for(nodes.target, name, "running")
    assert name in nodes.target.call("GetAllInstancesInfo")
    nodes.target.call("AddNic", guest, 1)
    nodes.target.call("BalloonInstanceMemory", guest, 96)
    back = nodes.reversed()
    back.migrate(guest)
    assert nodes.run_states(name) == ("running", "gone")
    record(nodes.target, guest).unlink()


def test_a_soft_reboot_of_a_guest_that_arrived_by_itself(nodes, make):
    guest = make(nodes, **ONE_PASS)
    arrived(nodes, guest)
    nodes.source.call("FinalizeMigrationSource", of(nodes.source, guest), True, True)
    before = nodes.target.pid(guest["name"])
    nodes.target.call("RebootInstance", {**guest, "acpi": True})
    assert nodes.target.run_state(guest["name"]) == "running"
    assert nodes.target.pid(guest["name"]) != before
    record(nodes.source, guest).unlink()


def test_the_runtime_file_is_lost(nodes, make):
    """The advice for a guest that the original left so: shut it down and start it."""
    guest = make(nodes, **ONE_PASS)
    runtime = nodes.source.run_folder / "conf" / f"{guest['name']}.runtime"
    runtime.unlink()
    with pytest.raises(RemoteError, match=r"cannot be read.*reboot --type=full") as caught:
        nodes.source.call("MigrationInfo", guest)
    assert caught.value.is_hypervisor_error
    nodes.source.call("StopInstance", guest)
    nodes.source.call("CleanupInstance", guest)
    nodes.source.call("StartInstance", guest)
    nodes.migrate(guest)
    assert nodes.run_states(guest["name"]) == ("gone", "running")
    record(nodes.source, guest).unlink()


# A guest that was paused for its migration


def listing(nodes):
    return lambda guest: nodes.source.call("ListInstances")


def infos(nodes):
    return lambda guest: nodes.source.call("GetAllInstancesInfo")


def one_info(nodes):
    return lambda guest: nodes.source.call("MigrationInfo", guest)


@pytest.mark.parametrize("look", [listing, infos, one_info])
def test_it_goes_on_when_its_qemu_answers_again(impatient_nodes, make, look):
    nodes = impatient_nodes
    guest = make(nodes, **SLOW)
    info = nodes.begin(guest, live=False)
    migrants.hold(nodes, guest)
    with migrants.stopped(nodes.source.pid(guest["name"])):
        _, said = nodes.abort(guest, info, live=False)
        assert "cannot be told whether the guest is here" in said
        assert "migrate --cleanup" in said
        nodes.source.call("ListInstances")  # nobody answers, nothing happens
    migrants.wait_for_status(nodes.source, guest["name"], "failed")
    assert nodes.source.run_state(guest["name"]) == "paused"
    look(nodes)(guest)
    assert nodes.run_states(guest["name"]) == ("running", "gone")
    nodes.migrate({**guest, **ONE_PASS})
    assert nodes.run_states(guest["name"]) == ("gone", "running")
    record(nodes.source, guest).unlink()


def test_what_its_owner_paused_stays_paused(impatient_nodes, make):
    nodes = impatient_nodes
    guest = make(nodes, **SLOW)
    nodes.source.qemu(guest["name"], "stop")
    info = nodes.begin(guest, live=False)
    migrants.hold(nodes, guest)
    with migrants.stopped(nodes.source.pid(guest["name"])):
        assert nodes.abort(guest, info, live=False)[1]
    migrants.wait_for_status(nodes.source, guest["name"], "failed")
    nodes.source.call("ListInstances")
    assert nodes.source.run_state(guest["name"]) == "paused"


def test_a_guest_that_left_after_all_stays_stopped(impatient_nodes, make):
    """Its QEMU was stopped when Ganeti aborted; the target did not hear, and got it later."""
    nodes = impatient_nodes
    guest = make(nodes, **ONE_PASS)
    info = nodes.accept(guest)
    with Wire(PORT):
        slowly = of(nodes.source, {**guest, **SLOW})
        nodes.source.call("MigrateInstance", slowly, NEAR_END, False)
        migrants.hold(nodes, guest)
        with (
            migrants.stopped(nodes.source.pid(guest["name"])),
            pytest.raises(RemoteError, match="cannot be told"),
        ):
            nodes.source.call("FinalizeMigrationSource", slowly, False, False)
        nodes.source.qemu(guest["name"], "migrate-set-parameters", **{"max-bandwidth": 1 << 30})
        migrants.wait_for_status(nodes.source, guest["name"], "completed")
        migrants.wait_for(nodes.target, guest["name"], "paused")
    nodes.source.call("ListInstances")
    assert nodes.source.run_state(guest["name"]) == "postmigrate"
    assert '"left": true' in record(nodes.source, guest).read_text()
    nodes.finish(guest, info, live=False)
    assert nodes.run_states(guest["name"]) == ("gone", "running")
    record(nodes.source, guest).unlink()


def test_a_migration_that_just_begins_is_left_alone(nodes, make):
    guest = make(nodes, **SLOW)
    nodes.begin(guest, live=False)
    migrants.hold(nodes, guest)
    nodes.source.call("ListInstances")
    assert nodes.source.run_state(guest["name"]) == "paused"


@pytest.fixture
def full_run_directory(nodes):
    """Sockets fit into it, and from ``fill()`` on nothing more does."""
    folder = nodes.source.run_folder / "ctrl"
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    subprocess.run(command, check=True)

    def fill():
        script = f"cat /dev/zero >{folder}/full || true; ! echo more >{folder}/more"
        subprocess.run(["bash", "-c", script], check=True, stderr=subprocess.DEVNULL)
        (folder / "more").unlink()
        return folder / "full"

    yield fill
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("live", [True, False])
def test_an_abort_with_a_full_run_directory(full_run_directory, nodes, make, live):
    guest = make(nodes, **SLOW)
    info = nodes.begin(guest, live=live)
    migrants.hold(nodes, guest)
    full = full_run_directory()
    nodes.source.call("FinalizeMigrationSource", guest, False, live)
    nodes.target.call("FinalizeMigrationDst", guest, info, False)
    assert nodes.source.qemu(guest["name"], "query-migrate")["status"] == "cancelled"
    assert nodes.run_states(guest["name"]) == ("running", "gone")
    full.unlink()


def test_a_migration_with_a_full_run_directory(full_run_directory, nodes, make):
    guest = make(nodes, **ONE_PASS)
    full = full_run_directory()
    info = nodes.accept(guest)
    with pytest.raises(RemoteError, match="cannot be noted") as caught:
        nodes.source.call("MigrateInstance", guest, nodes.address, False)
    assert caught.value.is_hypervisor_error
    assert nodes.source.run_state(guest["name"]) == "running"
    assert nodes.abort(guest, info, live=False) == ("", "")
    assert nodes.run_states(guest["name"]) == ("running", "gone")
    full.unlink()


# What an operator is told to do


@pytest.mark.parametrize("live", [True, False])
def test_the_advice_after_an_abort_that_came_too_late(nodes, make, live):
    guest = make(nodes, serial_no=7, **ONE_PASS)
    info = arrived(nodes, guest, live=live)
    target, source = nodes.abort(guest, info, live=live)
    pid = nodes.source.pid(guest["name"])
    assert f"process {pid}" in source
    assert "end this process" in source
    assert "end the stale QEMU there" in target
    os.kill(pid, signal.SIGKILL)
    migrants.wait_for_end(pid)
    if not live:
        nodes.target.qemu(guest["name"], "cont")
    # what migrate --cleanup asks: which node has it?
    assert guest["name"] not in nodes.source.call("ListInstances")
    assert guest["name"] in nodes.target.call("ListInstances")
    assert nodes.run_states(guest["name"]) == ("gone", "running")
    with pytest.raises(RemoteError, match="has left this node"):
        start(nodes.source, guest)
    nodes.target.call("AddNic", guest, 0)
    record(nodes.source, guest).unlink()
