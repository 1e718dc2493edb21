"""Limits of disks: of a start, of a disk that comes later, of a reboot, of the other node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ganeti import constants

from ganeti_hv_kvm.hv_kvm import QmpConnection
from harness import instance, migrants, node, paths, two_nodes
from system.migration.conftest import make, qemu

__all__ = ["make", "qemu"]

NAME = "limits1.example.com"
LIMITS = {"disk_iops": 50, "disk_bps": 1 << 20}


def limits(answer: Any) -> list[tuple[int, int, str]]:
    """(requests, bytes, group) of each disk."""
    found = [entry["inserted"] for entry in answer if "inserted" in entry]
    return [(disk["iops"], disk["bps"], disk.get("group", "")) for disk in found]


def of_guest(hypervisor: Any) -> list[tuple[int, int, str]]:
    with QmpConnection(hypervisor._InstanceQmpMonitor(NAME)) as qmp:
        return limits(qmp.execute_qmp("query-block"))


@pytest.mark.parametrize("binary", [paths.QEMU, paths.QEMU_10], ids=["7.2", "10.0"])
@pytest.mark.parametrize("kind", ["paravirtual", "scsi-hd", "ide"])
def test_all_disks_share_them(hypervisor, tmp_path, binary, kind):
    disks = [instance.disk(tmp_path, 0), instance.disk(tmp_path, 1)]
    wanted: dict[str, Any] = {"kvm_path": str(binary), "disk_type": kind, **LIMITS}
    made = instance.instance(NAME, disks=disks, **wanted)
    hypervisor.StartInstance(made, disks, True)
    share = (50, 1 << 20, made.uuid)
    assert of_guest(hypervisor) == [share] * 2
    if kind != "ide":
        disk, link, uri = instance.disk(tmp_path, 2)
        hypervisor.HotAddDevice(made, constants.HOTPLUG_TARGET_DISK, disk, (link, uri), 2)
        assert of_guest(hypervisor) == [share] * 3


def test_a_reboot_has_them_as_well(hypervisor, tmp_path):
    disks = [instance.disk(tmp_path), instance.disk(tmp_path, 1)]
    made = instance.instance(NAME, disks=disks, **LIMITS)
    hypervisor.StartInstance(made, disks, True)
    before = hypervisor.GetInstanceInfo(NAME)[1]
    hypervisor.RebootInstance(made)
    assert hypervisor.GetInstanceInfo(NAME)[1] != before
    assert of_guest(hypervisor) == [(50, 1 << 20, made.uuid)] * 2


def test_none_where_none_is_asked_for(hypervisor, tmp_path):
    disks = [instance.disk(tmp_path)]
    made = instance.instance(NAME, disks=disks)
    hypervisor.StartInstance(made, disks, True)
    assert of_guest(hypervisor) == [(0, 0, "")]


def test_one_of_them_alone(hypervisor, tmp_path):
    disks = [instance.disk(tmp_path)]
    made = instance.instance(NAME, disks=disks, disk_iops=7)
    hypervisor.StartInstance(made, disks, True)
    assert of_guest(hypervisor) == [(7, 0, made.uuid)]


@pytest.fixture(scope="module")
def nodes(bridge: str) -> Iterator[two_nodes.Pair]:
    with two_nodes.pair(("next", node.OURS), ("next", node.OURS)) as made:
        yield made


def test_the_other_node_has_them_before_the_guest_runs(nodes, make, tmp_path):
    guest = make(nodes, disk_folder=str(tmp_path), **LIMITS, **migrants.ONE_PASS)
    here = limits(nodes.source.qemu(guest["name"], "query-block"))
    assert here[0][:2] == (50, 1 << 20)
    nodes.migrate(guest)
    assert limits(nodes.target.qemu(guest["name"], "query-block")) == here
