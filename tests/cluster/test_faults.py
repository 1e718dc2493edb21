"""What goes wrong on a node, and what is left to the operator: nothing."""

from __future__ import annotations

import contextlib
import signal
import time

import pytest

from cluster.harness.cluster import BANDWIDTH, MIGRATION_PORT
from cluster.harness.instance import Instance
from harness import migrants

_CONF = "/run/ganeti/kvm-hypervisor/conf"
_ANSWER = 60.0  # seconds; far more than any deadline, far less than for ever


@pytest.fixture
def stopped(guest, n1):
    """The guest's QEMU answers nobody meanwhile."""
    pid = guest.pid
    n1.signal(pid, signal.SIGSTOP)
    yield guest
    with contextlib.suppress(ProcessLookupError):
        n1.signal(pid, signal.SIGCONT)


@pytest.fixture
def slow(guest, n1, n2):
    """Migrations take for ever meanwhile."""
    guest.cluster.set_migration_bandwidth(1)
    yield guest
    guest.cluster.recover()
    if len(guest.qemus()) == 2:  # a step failed half-way, and its job waits
        kill_on(guest, n2)
    guest.cluster.set_migration_bandwidth(BANDWIDTH)


def begin_hot_add(guest, node):
    """Returns when the new NIC's TAP is there; QEMU, which is to get it, is stopped."""
    pid = guest.pid
    running = guest.cluster.start(
        "gnt-instance", "modify", "--force", *guest.hotplug, "--net=add", guest.name
    )
    migrants.wait_until(lambda: len(node.taps()) == 2, 60, "the new TAP")
    node.signal(pid, signal.SIGSTOP)
    return running


def begin_migration(guest, n1, n2):
    """Returns when memory is being sent."""
    running = guest.cluster.start(
        "gnt-instance", "migrate", "--force", f"--target-node={n2.name}", guest.name
    )
    migrants.wait_until(lambda: n2.qemu(guest.name), 60, "QEMU on the target")
    guest.hold_migration(n1)
    return running


def kill_on(guest, node):
    node.signal(node.qemu(guest.name), signal.SIGKILL)


def refused(said):
    """What gnt-instance printed says that the running guest was not changed."""
    return any(part in said for part in ("Could not hotplug", "not supported", "Failure"))


def clean_up_migration(guest):
    guest.gnt("migrate", "--force", "--cleanup", check=False)


# A QEMU that does not answer


@pytest.mark.core
def test_stopped_list(stopped, figure):
    """QEMU stopped: list and node list answer."""
    begin = time.monotonic()
    stopped.cluster.gnt("gnt-instance", "list")
    stopped.cluster.gnt("gnt-node", "list")
    figure(f"list and node list {time.monotonic() - begin:.1f} s")
    assert time.monotonic() - begin < _ANSWER


@pytest.mark.core
def test_stopped_shutdown(stopped, figure, n1):
    """QEMU stopped: shutdown ends it at its time-out."""
    begin = time.monotonic()
    stopped.gnt("shutdown", "--timeout=10")
    figure(f"{time.monotonic() - begin:.1f} s with a time-out of 10 s")
    assert stopped.qemus() == []
    assert stopped.field("status") == "ADMIN_down"
    n1.expect_no_traces(stopped.name)


def test_stopped_hot_add(stopped, n1):
    """QEMU stopped: hot-add fails within its time, undone; the guest goes on."""
    taps = n1.taps()
    begin = time.monotonic()
    said = stopped.hot_modify("--net=add:mac=aa:00:00:10:20:60", check=False)
    assert time.monotonic() - begin < _ANSWER
    n1.signal(stopped.pid, signal.SIGCONT)
    assert refused(said), said
    assert n1.taps() == taps
    assert len(stopped.sees().nics) == 1
    stopped.gnt("reboot", "--type=hard", "--shutdown-timeout=60")
    assert stopped.wait_for_boot()
    forget_nics(stopped)


def forget_nics(guest):
    """Only the first NIC stays, in Ganeti's configuration and in the guest."""
    count = int(guest.field("nic.count"))
    if count > 1:
        guest.gnt("shutdown", "--timeout=0", "--force", check=False)
        for index in reversed(range(1, count)):
            guest.modify(f"--net={index}:remove", "--force")
        guest.gnt("start")
        guest.wait_for_boot()


# A QEMU that dies


@pytest.mark.thorough
@pytest.mark.core
def test_killed_in_hot_plug(guest, n1):
    """QEMU killed in the middle of a hot-add; start brings it back."""
    pid, running = guest.pid, begin_hot_add(guest, n1)
    n1.signal(pid, signal.SIGKILL)
    running.wait(_ANSWER)
    migrants.wait_until(lambda: n1.taps() == [], 20, "the end of both TAPs")
    assert guest.field("status") == "ERROR_down"
    forget_nics(guest)
    guest.gnt("start")
    guest.wait_for_boot()
    assert len(n1.taps()) == 1


@pytest.mark.thorough
@pytest.mark.core
def test_source_killed_in_migration(slow, n1, n2):
    """QEMU killed on the source in the middle of a migration: it starts again, once."""
    running = begin_migration(slow, n1, n2)
    kill_on(slow, n1)
    status, output = running.wait()
    assert status != 0, output
    clean_up_migration(slow)
    slow.gnt("start", check=False)
    slow.wait_for_boot()
    assert slow.qemus() == ["n1"]
    n2.expect_no_traces(slow.name)


@pytest.mark.thorough
@pytest.mark.core
def test_target_killed_in_migration(slow, n1, n2):
    """QEMU killed on the target in the middle of a migration: the guest goes on counting."""
    slow.start_counting()
    with slow.ticks(n1) as ticks:
        running = begin_migration(slow, n1, n2)
        kill_on(slow, n2)
        status, output = running.wait()
        assert status != 0, output
        clean_up_migration(slow)
        seen = len(ticks.seen)
        migrants.wait_until(lambda: len(ticks.seen) > seen + 20, 60, "more ticks")
        numbers = [number for _, number in ticks.seen]
    slow.stop_counting()
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert slow.run_state(n1) == "running"
    assert slow.qemus() == ["n1"]
    n2.expect_no_traces(slow.name)


# A node daemon that dies


def test_daemon_killed_in_hot_plug(guest, n1):
    """node daemon killed in the middle of a hot-add; afterwards it works."""
    pid, running = guest.pid, begin_hot_add(guest, n1)
    n1.kill_node_daemon()
    n1.signal(pid, signal.SIGCONT)
    n1.daemon("start")
    running.wait(_ANSWER)
    assert len(guest.sees().nics) <= 2
    forget_nics(guest)
    assert len(guest.sees().nics) == 1
    guest.hot_modify("--net=add:mac=aa:00:00:10:20:61")
    guest.sees(lambda seen: "aa:00:00:10:20:61" in seen.nics.values())
    guest.hot_modify("--net=1:remove")
    guest.sees(lambda seen: len(seen.nics) == 1)
    assert len(n1.taps()) == 1


@pytest.mark.parametrize("which", ["source", "target"])
def test_daemon_killed_in_migration(slow, n1, n2, which):
    """node daemon killed in the middle of a migration: the guest runs once."""
    running = begin_migration(slow, n1, n2)
    node = n1 if which == "source" else n2
    node.kill_node_daemon()
    node.daemon("start")
    with contextlib.suppress(RuntimeError, OSError):  # it may have moved, or been ended
        slow.qemu(n1, "migrate-set-parameters", **{"max-bandwidth": 1 << 30})
    running.wait()
    clean_up_migration(slow)
    states = [slow.run_state(one) for one in (n1, n2)]
    assert states.count("running") == 1, states
    primary = slow.node
    assert slow.run_state(primary) == "running"
    slow.sees(timeout=60)


# A node that cannot


@pytest.mark.thorough
@pytest.mark.core
def test_target_refuses(guest, n1, n2):
    """the target cannot listen: the migration fails, the guest goes on; then it works."""
    address = (n2.address, MIGRATION_PORT)
    listen = f"import socket, time; kept = socket.create_server({address}); time.sleep(600)"
    blocker = n2.namespaces.start("/usr/bin/python3", "-c", listen)
    try:
        migrants.wait_until(lambda: f":{MIGRATION_PORT} " in n2.run("ss", "-ltn").stdout, 30, "it")
        said = guest.migrate(n2, check=False)
        assert refused(said), said
        assert guest.run_state(n1) == "running"
        assert guest.qemus() == ["n1"]
        n2.expect_no_traces(guest.name)
        assert n2.taps() == []
    finally:
        for pid in n2.processes("create_server"):
            n2.run("kill", str(pid), check=False)
        blocker.wait()
    guest.sees()
    guest.gnt("migrate", "--force", "--cleanup", check=False)
    guest.migrate(n2)
    assert guest.qemus() == ["n2"]
    guest.sees()


@pytest.fixture
def full_disk(guest, n1):
    """No byte more fits where runtime files are written."""
    guest.gnt("shutdown", "--timeout=60")
    n1.shell(f"mount -t tmpfs -o size=16k tmpfs {_CONF}; cat /dev/zero >{_CONF}/full || true")
    yield guest
    n1.shell(f"umount {_CONF}", check=False)


@pytest.mark.core
def test_full_disk_start(full_disk, n1):
    """no room for the runtime file: start fails and leaves nothing; then it works."""
    said = full_disk.gnt("start", check=False)
    assert refused(said), said
    assert full_disk.qemus() == []
    assert n1.taps() == []
    assert [trace for trace in n1.traces(full_disk.name) if trace != "full"] == []
    n1.shell(f"rm {_CONF}/full")
    full_disk.gnt("start")
    full_disk.wait_for_boot()


def test_full_disk_hot_plug(guest, n1):
    """no room for the runtime file: a hot-add is undone; then it works."""
    runtime = n1.path(f"{_CONF}/{guest.name}.runtime")
    old = runtime.read_bytes()
    n1.shell(
        f"cp {_CONF}/{guest.name}.runtime /tmp/kept; mount -t tmpfs -o size=16k tmpfs {_CONF};"
        f" cp /tmp/kept {_CONF}/{guest.name}.runtime; cat /dev/zero >{_CONF}/full || true"
    )
    try:
        said = guest.hot_modify("--net=add:mac=aa:00:00:10:20:62", check=False)
        now = runtime.read_bytes()
        nics, taps = guest.sees().nics, n1.taps()
    finally:
        n1.shell(f"umount {_CONF}")
    assert refused(said), said
    assert now == old
    assert len(nics) == 1, f"the guest has {len(nics)} NICs"
    assert len(taps) == 1, f"there are {taps}"
    forget_nics(guest)
    guest.hot_modify("--net=add:mac=aa:00:00:10:20:62")
    guest.sees(lambda seen: len(seen.nics) == 2)


# Two operators at once


def test_remove_while_others(cluster, guest: Instance, n1):
    """an instance is removed while another one is listed and rebooted."""
    other = Instance(cluster, "i2.example.com")
    other.add(n1)
    other.wait_for_boot()
    reboot = cluster.start("gnt-instance", "reboot", "--type=hard", guest.name)
    other.remove()
    assert cluster.gnt("gnt-instance", "list", "--no-headers", "-o", "name").split() == [guest.name]
    assert reboot.wait()[0] == 0
    guest.wait_for_boot()
    n1.expect_no_traces(other.name)
