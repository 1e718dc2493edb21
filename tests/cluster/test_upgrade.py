"""A cluster with running guests goes from Ganeti 3.0 and QEMU 7.2 to 3.1 and QEMU 10, and back.

CLUSTER_MODULES=original with CLUSTER_UPGRADE=during or after: ours comes later than the packages.
"""

from __future__ import annotations

import os

import pytest

from cluster.harness.cluster import OURS
from cluster.harness.instance import Instance
from harness import disk_counts, paths

from .conftest import modules

_PACKAGES = paths.WORK / "cluster/backports"
_MAC = "aa:00:00:10:20:90"
#: Ganeti's parameters, and how many disks.
_GUESTS = {
    "i1.example.com": "machine_version=pc",
    "i2.example.com": "disk_type=scsi-hd,scsi_controller_type=virtio-scsi-pci",
    "i3.example.com": "disk_type=ide",
}


class Counted:
    """An instance whose disks the guest counts on, step by step."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self._steps = 0

    def check(self) -> None:
        with self.instance.console() as console:
            found = disk_counts.count_on(console)
        assert list(found.values()) == [self._steps] * 2, self.instance.name
        self._steps += 1


@pytest.fixture(scope="module")
def guests(cluster):
    made = [Counted(Instance(cluster, name)) for name in _GUESTS]
    for one in made:
        one.instance.add(cluster.master, "--disk=1:size=1G", parameters=_GUESTS[one.instance.name])
    for one in made:
        one.instance.wait_for_boot()
        one.check()
    return made


def _enable(cluster) -> None:
    for node in cluster.nodes:
        node.use_ours()
        node.daemon("restart")


def _only_here(cluster, guests, node) -> None:
    for one in guests:
        assert one.instance.qemus() == [node.short_name]
        assert one.instance.field("status") == "running"
        assert one.instance.field("pnode") == node.name


def _machine(guest: Instance) -> str:
    found = guest.qemu(guest.place, "qom-get", path="/machine", property="type")
    return str(found).removesuffix("-machine")


def test_the_packages_come(cluster, guests):
    """Ganeti 3.1 and QEMU 10 are installed beside running daemons and guests."""
    for node in cluster.nodes:
        node.install_packages(_PACKAGES)
    if modules() != (OURS, OURS) and os.environ["CLUSTER_UPGRADE"] == "during":
        _enable(cluster)
    _only_here(cluster, guests, cluster.master)


def test_the_cluster_is_upgraded(cluster, guests):
    """`gnt-cluster upgrade --to 3.1`: every guest is listed as running."""
    cluster.upgrade("3.1")
    if modules() != (OURS, OURS) and os.environ["CLUSTER_UPGRADE"] == "after":
        _enable(cluster)
    assert "3.1" in cluster.versions()
    assert [node.module_in_use() for node in cluster.nodes] == ["replacement"] * 2
    assert cluster.verify() == []
    _only_here(cluster, guests, cluster.master)


def test_the_node_is_emptied(cluster, guests):
    """`gnt-node migrate`: disks and machines are what they were."""
    cluster.gnt("gnt-node", "migrate", "--force", cluster.master.name)
    _only_here(cluster, guests, cluster.other)
    for one in guests:
        one.check()
        assert _machine(one.instance) == "pc-i440fx-7.2"


def test_the_guest_is_worked_with(cluster, guests):
    """a NIC comes and goes, memory changes, a soft reboot."""
    for one in guests:
        one.instance.hot_modify(f"--net=add:mac={_MAC}")
        one.instance.sees(lambda seen: _MAC in seen.nics.values())
        one.instance.hot_modify("--net=1:remove")
        one.instance.sees(lambda seen: _MAC not in seen.nics.values())
        one.instance.modify("--runtime-memory=128M")
        one.instance.gnt("reboot", "--type=soft", "--shutdown-timeout=60")
        one.instance.wait_for_boot()
        one.check()
        assert _machine(one.instance) == "pc-i440fx-7.2"


def test_the_way_back(cluster, guests):
    """`gnt-cluster upgrade --to 3.0` while it is open: listed, migrated, rebooted."""
    cluster.upgrade("3.0")
    assert "Ganeti 3.0" in cluster.versions()
    _only_here(cluster, guests, cluster.other)
    cluster.gnt("gnt-node", "migrate", "--force", cluster.other.name)
    _only_here(cluster, guests, cluster.master)
    for one in guests:
        one.check()
        one.instance.gnt("reboot", "--type=soft", "--shutdown-timeout=60")
        one.instance.wait_for_boot()
        one.check()


def test_once_more_to_stay(cluster, guests):
    """`gnt-cluster upgrade --to 3.1` again; shut down and started, a guest has a new machine."""
    cluster.upgrade("3.1")
    for one in guests:
        one.instance.gnt("shutdown", "--timeout=60")
        one.instance.gnt("start")
        one.instance.wait_for_boot()
        one.check()
        assert _machine(one.instance) == "pc-i440fx-10.0"
        one.instance.gnt("shutdown", "--timeout=0", "--force")
        one.instance.remove()
    assert cluster.verify() == []
