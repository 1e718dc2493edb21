"""The life of an instance, as an operator leads it."""

from __future__ import annotations

import contextlib
import time

import pytest

from cluster.harness.instance import LESS_MEMORY, MEMORY, SEEN_TIMEOUT, Instance
from cluster.harness.namespaces import CommandFailed
from harness import migrants
from harness.guest import STATUS_LINE

pytestmark = pytest.mark.core


def test_add_and_boot(made, n1, figure):
    """instance add; the guest boots."""
    made.add(n1)
    begin = time.monotonic()
    seen = made.wait_for_boot()
    figure(f"boot {time.monotonic() - begin:.1f} s after the command")
    assert seen.disks == {"vda": 1024}
    assert list(seen.nics) == ["eth0"]


def test_list(guest):
    """list and info of the running instance."""
    fields = guest.field("status,oper_ram,oper_vcpus,pnode").split()
    assert fields == ["running", f"{MEMORY}M", "1", "n1.example.com"]
    assert "actual state is up" in guest.gnt("info")


def test_console_command(guest):
    """the console command shows the guest's console."""
    command = guest.gnt("console", "--show-cmd").strip()
    said = guest.cluster.master.shell(
        f"{command} </dev/null >/tmp/console 2>&1 & for _ in $(seq 200); do"
        " ! grep -am1 'guest: up' /tmp/console || break; sleep 0.1; done; kill $! || true"
    )
    assert "guest: up " in said


def test_hot_add_disk(guest):
    """hot-add a disk; the guest sees it."""
    before = guest.sees()
    said = guest.hot_modify("--disk=add:size=1G")
    seen = guest.sees(lambda seen: len(seen.disks) == 2)
    assert "Could not hotplug" not in said
    assert seen.disks == {"vda": 1024, "vdb": 1024}
    assert seen.seconds >= before.seconds


def test_hot_remove_disk(guest):
    """hot-remove the disk; the guest sees it go."""
    if len(guest.sees().disks) < 2:
        guest.hot_modify("--disk=add:size=1G")
        guest.sees(lambda seen: len(seen.disks) == 2)
    said = guest.hot_modify("--disk=1:remove")
    assert guest.sees(lambda seen: len(seen.disks) == 1).disks == {"vda": 1024}
    assert "Could not hotplug" not in said


def test_hot_add_nic(guest, n1):
    """hot-add a NIC; the guest sees it."""
    before = n1.taps()
    said = guest.hot_modify("--net=add:mac=aa:00:00:10:20:30")
    seen = guest.sees(lambda seen: len(seen.nics) == 2)
    assert "Could not hotplug" not in said
    assert seen.nics["eth1"] == "aa:00:00:10:20:30"
    assert len(n1.taps()) == len(before) + 1


def test_hot_modify_nic(guest):
    """hot-modify the NIC: a new MAC in the guest."""
    if len(guest.sees().nics) < 2:
        guest.hot_modify("--net=add:mac=aa:00:00:10:20:30")
        guest.sees(lambda seen: len(seen.nics) == 2)
    said = guest.hot_modify("--net=1:modify,mac=aa:00:00:10:20:31")
    guest.sees(lambda seen: "aa:00:00:10:20:31" in seen.nics.values())
    assert "Could not hotplug" not in said


def test_hot_remove_nic(guest, n1):
    """hot-remove the NIC; the guest sees it go, and its TAP is gone."""
    if len(guest.sees().nics) < 2:
        guest.hot_modify("--net=add:mac=aa:00:00:10:20:30")
        guest.sees(lambda seen: len(seen.nics) == 2)
    before = n1.taps()
    said = guest.hot_modify("--net=1:remove")
    guest.sees(lambda seen: len(seen.nics) == 1)
    assert "Could not hotplug" not in said
    assert len(n1.taps()) == len(before) - 1


def test_balloon(guest):
    """runtime memory down and up, as the guest and the listing have it."""
    full = guest.sees().memory
    guest.modify(f"--runtime-memory={LESS_MEMORY}")
    less = guest.sees(lambda seen: seen.memory <= full - 20).memory
    listed = guest.field("oper_ram")
    guest.modify(f"--runtime-memory={MEMORY}")
    guest.sees(lambda seen: seen.memory >= less + 20)
    assert listed == f"{LESS_MEMORY}M", f"listed with {listed} when it had {LESS_MEMORY}M"


def test_grow_disk(guest):
    """grow-disk; the guest sees it (3.0: after a reboot)."""
    size = guest.sees().disks["vda"]
    guest.cluster.gnt("gnt-instance", "grow-disk", guest.name, "0", "128M")
    if guest.cluster.generation == "3.0":
        guest.gnt("reboot", "--type=hard")
        guest.wait_for_boot()
    guest.sees(lambda seen: seen.disks["vda"] == size + 128)


@pytest.mark.parametrize("kind", ["soft", "hard", "full"])
def test_reboot(guest, kind, figure):
    """reboot."""
    old, before = guest.pid, guest.sees().seconds
    while before < 3:
        before = guest.sees().seconds
    begin = time.monotonic()
    with guest.console() as console:
        console.wait_for(STATUS_LINE.search, SEEN_TIMEOUT)  # QEMU has taken the connection
        guest.gnt("reboot", f"--type={kind}", "--shutdown-timeout=60")
        said = _rest(console)
    figure(f"{kind}: {time.monotonic() - begin:.1f} s")
    guest.wait_for_boot()
    assert guest.pid != old
    asked = any("guest: power button" in line for line in said)
    assert asked, f"the guest was not asked to shut down; it said last: {said[-3:]}"


def _rest(console):
    """What has come on a console whose QEMU has gone."""
    with contextlib.suppress(EOFError, TimeoutError):
        console.wait_for(lambda line: "guest: power button" in line, 5)
    return console.lines


def test_shutdown(guest, n1, figure):
    """graceful shutdown, well below its time-out."""
    begin = time.monotonic()
    with guest.console() as console:
        console.wait_for(STATUS_LINE.search, SEEN_TIMEOUT)
        guest.gnt("shutdown", "--timeout=90")
        seconds = time.monotonic() - begin
        assert any("guest: power button" in line for line in _rest(console))
    figure(f"{seconds:.1f} s of 90 s")
    assert seconds < 60
    assert guest.field("status") == "ADMIN_down"
    assert n1.taps() == []


def test_start(guest):
    """start after a shutdown."""
    guest.gnt("shutdown", "--timeout=0", "--force")
    guest.gnt("start")
    guest.wait_for_boot()
    assert guest.field("status") == "running"


def test_crash_and_start(guest, n1):
    """QEMU killed: listed as an error; start brings it back."""
    guest.kill()
    migrants.wait_until(lambda: not guest.qemus(), 10, "QEMU's end")
    assert guest.field("status") == "ERROR_down"
    guest.gnt("start")
    guest.wait_for_boot()
    assert len(n1.taps()) == 1


@pytest.mark.thorough
def test_crash_and_watcher(guest):
    """QEMU killed: the watcher brings it back."""
    guest.kill()
    migrants.wait_until(lambda: not guest.qemus(), 10, "QEMU's end")
    guest.cluster.master.run("ganeti-watcher", "--ignore-pause", "--wait-children")
    try:
        guest.wait_for_boot()
    except OSError:
        logs = "tail -n 40 /var/log/ganeti/watcher.log /var/log/ganeti/node-daemon.log"
        pytest.fail(guest.cluster.master.shell(logs))
    assert guest.field("status") == "running"


@pytest.mark.thorough
def test_failover(guest, n1, n2):
    """failover to the other node and back."""
    for target in (n2, n1):
        guest.gnt("failover", "--force", f"--target-node={target.name}")
        guest.wait_for_boot()
        assert guest.qemus() == [target.short_name]


@pytest.mark.long
def test_rename(guest, n1):
    """rename, and start under the new name."""
    old, new, checks = guest.name, "i9.example.com", guest.cluster.no_checks
    if guest.cluster.generation == "3.0":  # later ones do not ask
        checks = ("--force", *checks)
    guest.gnt("shutdown", "--timeout=60")
    for name in (new, old):
        guest.cluster.gnt("gnt-instance", "rename", *checks, guest.name, name)
        guest.name = name
        guest.gnt("start")
        guest.wait_for_boot()
        guest.gnt("shutdown", "--timeout=60")
    n1.expect_no_traces(new)


@pytest.mark.long
def test_export_import(guest, n1, n2):
    """export and import as a new instance."""
    guest.gnt("shutdown", "--timeout=60")
    try:
        guest.cluster.gnt("gnt-backup", "export", f"--node={n2.name}", "--noshutdown", guest.name)
    except CommandFailed:
        if "commonName does not match" in n1.shell("cat /var/log/ganeti/os/export*"):
            pytest.skip("socat refuses the certificate that this Ganeti makes for an export")
        raise
    copy = Instance(guest.cluster, "i8.example.com")
    guest.cluster.gnt(
        "gnt-backup",
        "import",
        f"--src-node={n2.name}",
        f"--src-dir=/var/lib/ganeti/export/{guest.name}",
        "--disk-template=sharedfile",
        f"--node={n2.name}",
        *guest.cluster.no_checks,
        "--net=0:mac=generate",
        copy.name,
    )
    copy.gnt("start")
    copy.wait_for_boot()
    copy.gnt("shutdown", "--timeout=60")
    copy.remove()
    guest.cluster.gnt("gnt-backup", "remove", guest.name)
    n2.expect_no_traces(copy.name)


def test_verify(guest):
    """cluster verify with the instance running."""
    assert guest.cluster.verify() == []


def test_remove(guest, n1, n2):
    """remove while it runs; nothing is left on either node."""
    guest.gnt("remove", "--force", "--shutdown-timeout=60")
    for node in (n1, n2):
        node.expect_no_traces(guest.name)
        assert node.taps() == []
        assert node.processes("qemu-system") == []
