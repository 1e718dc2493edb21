"""Hypervisor parameters that change who runs QEMU, who may look, and who may shut down."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from harness import migrants

_TESTS = Path(__file__).resolve().parents[1]
_PASSWORD = "b\\ck sl"
_PASSWORD_FILE = "/etc/ganeti/console-password"


@pytest.fixture
def restarted(down):
    """Starts the guest with other hypervisor parameters; it gets its own ones back."""
    changed = []

    def start_with(**parameters):
        changed.extend(parameters)
        down.modify("-H", ",".join(f"{name}={value}" for name, value in parameters.items()))
        down.gnt("start")
        down.wait_for_boot()
        return down

    yield start_with
    down.gnt("shutdown", "--timeout=0", "--force", check=False)
    down.modify("-H", ",".join(f"{name}=default" for name in changed))


def _user(node, pid):
    status = node.path(f"/proc/{pid}/status").read_text()
    return next(line.split()[1] for line in status.splitlines() if line.startswith("Uid:"))


def _root(node, pid):
    return node.run("readlink", f"/proc/{pid}/root").stdout.strip()


def test_security_user(restarted, n1):
    """security model user, with chroot; hot-plug, stop."""
    guest = restarted(security_model="user", security_domain="nobody", use_chroot="True")
    pid = guest.pid
    assert _user(n1, pid) == n1.run("id", "-u", "nobody").stdout.strip()
    assert _root(n1, pid) == f"/run/ganeti/kvm-hypervisor/chroot/{guest.name}"
    guest.hot_modify("--net=add:mac=aa:00:00:10:20:50")
    guest.sees(lambda seen: len(seen.nics) == 2)
    guest.hot_modify("--net=1:remove")
    guest.sees(lambda seen: len(seen.nics) == 1)
    guest.gnt("shutdown", "--timeout=60")
    n1.expect_no_traces(guest.name)


def test_security_pool(restarted, n1, n2):
    """security model pool, with chroot: a user of the pool, given back."""
    for node in (n1, n2):
        node.shell("for id in 4000 4001 4002; do useradd -u $id -M -s /bin/false guest$id; done")
    n1.run("gnt-cluster", "modify", "--uid-pool=4000-4002")
    guest = restarted(security_model="pool", use_chroot="True")
    assert 4000 <= int(_user(n1, guest.pid)) <= 4002
    guest.migrate(n2)
    guest.sees()
    assert 4000 <= int(_user(n2, guest.pid)) <= 4002
    assert _root(n2, guest.pid) == f"/run/ganeti/kvm-hypervisor/chroot/{guest.name}"
    n1.expect_no_traces(guest.name)
    guest.gnt("shutdown", "--timeout=60")
    locked = n2.shell(
        "for file in /run/ganeti/uid-pool/*; do flock -n $file true || echo $file; done"
    )
    assert locked == ""


def test_hot_add_disk_in_chroot(restarted):
    """hot-add a disk to a guest in a chroot with its own user."""
    guest = restarted(security_model="user", security_domain="nobody", use_chroot="True")
    guest.hot_modify("--disk=add:size=1G")
    guest.sees(lambda seen: len(seen.disks) == 2)
    guest.hot_modify("--disk=1:remove")
    guest.sees(lambda seen: len(seen.disks) == 1)


def _write_password(cluster):
    for node in cluster.nodes:
        node.write(_PASSWORD_FILE, f"{_PASSWORD}\n", 0o600)


def _seen_in(node, guest):
    """Where the password can be read."""
    command_line = " ".join(node.command_line(guest.pid))
    places = {"command line": command_line, "node daemon's log": node.log()}
    places["commands' log"] = node.log("commands")
    return [name for name, text in places.items() if _PASSWORD in text]


def test_vnc_password(restarted, n1, cluster):
    """VNC password: it opens, another does not, it is in no log."""
    _write_password(cluster)
    guest = restarted(vnc_bind_address="127.0.0.1", vnc_password_file=_PASSWORD_FILE)
    port = guest.field("network_port")
    probe = f"""
import sys; sys.path.insert(0, {str(_TESTS)!r})
from oracle import rfb
print([rfb.is_accepted({port}, word) for word in ({_PASSWORD!r}, "another")])
"""
    said = n1.look_from_outside(probe)
    assert said == "[True, False]", f"the right and a wrong password are accepted: {said}"
    seen_in = _seen_in(n1, guest)
    assert not seen_in, f"the password is in the {', '.join(seen_in)}"


def test_spice_password(restarted, n1, cluster):
    """SPICE with password: the server is there, the password in no log."""
    _write_password(cluster)
    guest = restarted(spice_bind="127.0.0.1", spice_password_file=_PASSWORD_FILE)
    spice = guest.qemu(n1, "query-spice")
    assert spice["enabled"]
    assert spice["auth"] == "spice"
    seen_in = _seen_in(n1, guest)
    assert not seen_in, f"the password is in the {', '.join(seen_in)}"


@pytest.fixture
def user_shutdown(cluster):
    """Guests may be shut down by their users meanwhile."""
    cluster.gnt("gnt-cluster", "modify", "--user-shutdown=yes")
    yield
    # else Ganeti's kvmd would hold the monitor that other steps use
    cluster.gnt("gnt-cluster", "modify", "--user-shutdown=no")


def test_user_shutdown(user_shutdown, restarted, cluster, figure):
    """user shutdown: seen as such, and started again."""
    guest = restarted(user_shutdown="True")
    time.sleep(2)  # kvmd looks for new guests
    with guest.console() as console:
        console.send("poweroff -f")
        begin = time.monotonic()
        migrants.wait_until(lambda: not guest.qemus(), 30, "QEMU's end")
    migrants.wait_until(lambda: guest.field("status") == "USER_down", 30, "the status USER_down")
    figure(f"seen {time.monotonic() - begin:.1f} s after")
    cluster.master.run("ganeti-watcher", "--ignore-pause", "--wait-children")
    assert guest.qemus() == []
    guest.gnt("start")
    guest.wait_for_boot()
    assert guest.field("status") == "running"


def test_cpu_pinning(restarted, n1):
    """CPU mask: every thread of the guest's CPUs is pinned."""
    guest = restarted(cpu_mask="1")
    threads = [cpu["thread-id"] for cpu in guest.qemu(n1, "query-cpus-fast")]
    masks = {
        n1.run("taskset", "-cp", str(thread)).stdout.split(": ")[1].strip() for thread in threads
    }
    assert masks == {"1"}, f"pinned to {sorted(masks)}"


def test_devices_of_other_types(restarted, n1):
    """SCSI disk and emulated NIC: hot-added and removed."""
    guest = restarted(disk_type="scsi-hd", scsi_controller_type="virtio-scsi-pci")
    assert guest.sees().disks == {"sda": 1024}
    guest.hot_modify("--disk=add:size=1G")
    guest.sees(lambda seen: len(seen.disks) == 2)
    guest.hot_modify("--disk=1:remove")
    guest.sees(lambda seen: len(seen.disks) == 1)
