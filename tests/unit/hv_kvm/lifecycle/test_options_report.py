"""What `apply` gives a guest that runs, and what it leaves as it is."""

from __future__ import annotations

import pytest

from ganeti_hv_kvm.hv_kvm.hotplug import limits
from ganeti_hv_kvm.hv_kvm.hotplug.device import DISK, HotplugDevice
from ganeti_hv_kvm.hv_kvm.lifecycle import options_report
from unit.hv_kvm.command_line import samples
from unit.hv_kvm.node_of_one import instance


def guest(node, *tags):
    """A guest with a disk that is limited to 300 requests a second."""
    made = instance(nics=1)
    made.tags = [f"hv-kvm:{tag}" for tag in tags]
    running = node.running(made, [samples.disk()])
    (entry,) = running.load().kvm_disks
    device = {"qdev": f"/machine/peripheral/{entry[0].hvinfo['id']}/virtio-backend", "device": ""}
    node.qemu.answers["query-block"] = [{**device, "inserted": {"iops": 300, "bps": 0}}]
    node.qemu.answers["query-memdev"] = []
    return running


def set_to(node):
    return [given["iops"] for name, given in node.qemu.told if name == "block_set_io_throttle"]


@pytest.mark.parametrize(("tags", "iops"), [(["disk-iops:500"], 500), ([], 0), (["rgn"], 0)])
def test_what_the_tags_ask_for(node, tags, iops):
    options_report.apply(guest(node, *tags))
    assert set_to(node) == [iops]


WRONG = [
    ["disk-iops:5OO", "disk-iop:5"],
    ["disk-iop:500"],
    ["disk0-iops:x"],
    ["Disk-iops:500"],
]


@pytest.mark.parametrize("tags", WRONG)
def test_a_wrong_limit_leaves_what_is_in_force(node, tags):
    """Fault: a slip in a tag took the limit away from a guest that had one."""
    made = guest(node, *tags)
    options_report.apply(made)
    assert set_to(node) == []
    assert options_report.of(made).problems[-1] == (
        "until that is right, its disks keep the limits that they have"
    )


@pytest.mark.parametrize("tags", [["disk-bps:100M", "disk-iops:-"], ["disk-iops:5", "disk-iops:6"]])
def test_the_other_kind_is_set_all_the_same(node, tags):
    made = guest(node, *tags)
    options_report.apply(made)
    assert set_to(node) == [300]
    ((_, given),) = [one for one in node.qemu.told if one[0] == "block_set_io_throttle"]
    assert given["bps"] == (100 << 20 if "bps" in tags[0] else 0)


def test_a_new_disk_does_not_take_them_from_the_others(node, caplog):
    """In QEMU the last disk of a group says what all of it may do."""
    made = guest(node, "disk-iops:5OO", "disk-bps:100M")
    disk, *rest = made.load().kvm_disks[0]
    limits.of_new(made, HotplugDevice(DISK, disk, 0, rest))
    assert set_to(node) == []
    assert "its disks keep the limits that they have" in caplog.text


@pytest.mark.parametrize("tags", [["disk-iops:5OO", "disk7-iops:5"]])
def test_so_does_a_disk_that_comes_or_goes(node, caplog, tags):
    made = guest(node, *tags)
    limits.after_change(made, made.load())
    assert set_to(node) == []
    assert "its disks keep the limits that they have" in caplog.text
