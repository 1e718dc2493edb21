"""One node with the original, one with ours; enable and disable with guests running."""

from __future__ import annotations

import pytest

from .test_migration import migrate

pytestmark = pytest.mark.mixed


@pytest.fixture
def counting(guest):
    guest.start_counting()
    return guest


@pytest.fixture(scope="module")
def original_on_n2(cluster):
    """The second node runs Ganeti's own module meanwhile."""
    cluster.other.use_original()
    cluster.other.daemon("restart")
    assert cluster.other.module_in_use() == "original"
    yield cluster
    cluster.other.use_ours()
    cluster.other.daemon("restart")


def test_ours_to_original_and_back(original_on_n2, counting, n1, n2, figure):
    """live migration from ours to the original and back, no tick lost."""
    figure(f"to the original: downtime {migrate(counting, n1, n2):.2f} s")
    figure(f"back: downtime {migrate(counting, n2, n1):.2f} s")


def test_original_manages_ours(original_on_n2, guest, n2):
    """the original lists, hot-plugs, reboots and stops a guest that came from ours."""
    guest.migrate(n2)
    assert guest.field("status") == "running"
    guest.hot_modify("--net=add:mac=aa:00:00:10:20:70")
    guest.sees(lambda seen: len(seen.nics) == 2)
    guest.hot_modify("--net=1:remove")
    guest.sees(lambda seen: len(seen.nics) == 1)
    guest.gnt("reboot", "--type=soft")
    guest.wait_for_boot()
    guest.gnt("shutdown", "--timeout=60")
    assert n2.taps() == []


def test_started_by_original_to_ours(original_on_n2, guest, n1, n2, figure):
    """a guest that the original started moves to ours: hot-plugged, rebooted, stopped there."""
    guest.gnt("failover", "--force", f"--target-node={n2.name}")
    guest.wait_for_boot()
    guest.hot_modify("--disk=add:size=1G")
    guest.sees(lambda seen: len(seen.disks) == 2)
    guest.start_counting()
    figure(f"downtime {migrate(guest, n2, n1):.2f} s")
    guest.hot_modify("--disk=1:remove")
    guest.sees(lambda seen: len(seen.disks) == 1)
    guest.gnt("reboot", "--type=soft", "--shutdown-timeout=60")
    guest.wait_for_boot()
    guest.gnt("shutdown", "--timeout=60")
    assert n1.taps() == []


def test_verify_mixed(original_on_n2, guest):
    """cluster verify with one module on each node."""
    assert original_on_n2.verify() == []


def test_disable_with_guest_running(guest, n1, figure):
    """disable while a guest runs: the original takes it over."""
    pid = guest.pid
    n1.use_original()
    n1.daemon("restart")
    assert n1.module_in_use() == "original"
    assert guest.field("status") == "running"
    guest.hot_modify("--net=add:mac=aa:00:00:10:20:71")
    guest.sees(lambda seen: len(seen.nics) == 2)
    assert guest.pid == pid


def test_enable_with_guest_running(guest, n1):
    """enable while a guest runs: ours takes it over, with what the original hot-added."""
    n1.use_original()
    n1.daemon("restart")
    if len(guest.sees().nics) < 2:
        guest.hot_modify("--net=add:mac=aa:00:00:10:20:71")
        guest.sees(lambda seen: len(seen.nics) == 2)
    pid = guest.pid
    n1.use_ours()
    n1.daemon("restart")
    assert n1.module_in_use() == "replacement"
    guest.hot_modify("--net=1:remove")
    guest.sees(lambda seen: len(seen.nics) == 1)
    assert guest.pid == pid
    guest.gnt("shutdown", "--timeout=60")
    n1.expect_no_traces(guest.name)


def test_encrypted_or_not_at_all(original_on_n2, guest, n1, n2):
    """a node that requires encryption sends nothing to the original, and takes nothing of it."""
    path = "/etc/ganeti/ganeti-hv-kvm.conf"
    n1.write(path, "[hv-kvm]\nmigration_tls = require\n")
    try:
        assert "this node requires that it goes encrypted" in guest.migrate(n2, check=False)
        assert guest.qemus() == ["n1"]
        assert guest.run_state(n1) == "running"
        n1.write(path, "[hv-kvm]\nmigration_tls = prefer\n")
        guest.migrate(n2)
        n1.write(path, "[hv-kvm]\nmigration_tls = require\n")
        assert "this node requires that it comes encrypted" in guest.migrate(n1, check=False)
        assert guest.qemus() == ["n2"]
    finally:
        n1.path(path).unlink()
