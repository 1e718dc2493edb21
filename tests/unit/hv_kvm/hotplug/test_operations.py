"""Devices that come and go: what QEMU is told, in which order, and what a failure leaves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.ganeti.generation import DIALECT
from ganeti_hv_kvm.hv_kvm.hotplug import operations
from ganeti_hv_kvm.hv_kvm.hotplug.device import DISK, NIC
from unit.hv_kvm.command_line import samples
from unit.hv_kvm.node_of_one import instance, nic

STORAGE = "blockdev-add" if DIALECT.blockdev else "human-monitor-command"
NEW_NIC, NEW_DISK = "nic-05000000-1111-4222", "disk-d5000000-1111-4222"


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(4096))
    return str(path)


def new_disk(image, **more):
    disk, link, uri = samples.disk(template=constants.DT_FILE, seq=5, link=image, **more)
    disk.hvinfo = {}
    return disk, (link, uri)


def guest_of(node, nics=1):
    return node.running(instance(nics=nics), [samples.disk()])


def ids(node):
    runtime = node.stored()
    disks = [disk.hvinfo["id"] for disk, _, _ in runtime.kvm_disks]
    return disks + [one.hvinfo["id"] for one in runtime.kvm_nics]


def seen(node):
    """What a failed attempt must leave as it was."""
    qemu = node.qemu
    devices = set(qemu.devices), dict(qemu.storage), set(qemu.netdevs)
    return devices, ids(node), sorted(os.listdir(node.files.nic_dir))


# A disk comes


def test_a_disk_comes(node, image):
    guest = guest_of(node)
    disk, extra = new_disk(image)
    operations.add(guest, DISK, disk, extra, 1)
    # last: a runtime file that names what the guest does not have would bring it back
    assert node.log == ["add-fd", STORAGE, "device_add", "remove-fd", "save"]
    assert NEW_DISK in node.qemu.devices
    assert ids(node)[:2] == ["disk-d0000000-1111-4222", NEW_DISK]
    told = dict(node.qemu.told)["device_add"]
    assert {told["id"], told["drive"]} == {NEW_DISK}
    assert told["addr"] == disk.hvinfo["addr"]


def test_a_disk_that_ganeti_counts_first_stands_first(node, image):
    """A restart boots from the first one."""
    guest = guest_of(node)
    disk, extra = new_disk(image)
    operations.add(guest, DISK, disk, extra, 0)
    assert ids(node)[:2] == [NEW_DISK, "disk-d0000000-1111-4222"]


def places(node):
    stored = node.stored()
    devices = [*(disk for disk, _, _ in stored.kvm_disks), *stored.kvm_nics]
    return [one.hvinfo["addr"] for one in devices]


@pytest.mark.parametrize("in_qemu", [0, 0xF])
def test_it_takes_no_place_that_is_taken(node, image, in_qemu):
    """By a device of the runtime file, or by one that QEMU alone has."""
    guest = guest_of(node)
    node.qemu.answers["query-pci"] = [
        {"bus": 0, "devices": [{"slot": slot, "function": 0} for slot in range(in_qemu)]}
    ]
    disk, extra = new_disk(image)
    operations.add(guest, DISK, disk, extra, 1)
    assert len(set(places(node))) == 3
    assert int(disk.hvinfo["addr"], 16) >= in_qemu


@pytest.mark.parametrize("fault", ["refuse", "lose"])
@pytest.mark.parametrize("command", ["add-fd", "backend", "device_add"])
def test_a_disk_that_does_not_come_leaves_nothing(node, image, command, fault):
    guest = guest_of(node)
    command = STORAGE if command == "backend" else command
    before = seen(node)
    getattr(node.qemu, fault)(command)
    disk, extra = new_disk(image)
    with pytest.raises(errors.HotplugError, match=f"{samples.NAME}: adding disk {disk.uuid}"):
        operations.add(guest, DISK, disk, extra, 1)
    assert seen(node) == before
    assert disk.hvinfo == {}
    # and the same call again goes through
    operations.add(guest, DISK, disk, extra, 1)
    assert NEW_DISK in ids(node)


def test_a_disk_of_which_the_runtime_file_cannot_be_written(node, image):
    guest = guest_of(node)
    before = seen(node)
    node.failing.add("save")
    disk, extra = new_disk(image)
    with pytest.raises(errors.HotplugError, match="save: it fails"):
        operations.add(guest, DISK, disk, extra, 1)
    assert seen(node) == before


def test_what_cannot_be_undone_is_said_and_the_next_call_clears_it(node, image):
    guest = guest_of(node)
    node.failing.add("save")
    node.qemu.obeys = False
    disk, extra = new_disk(image)
    with pytest.raises(errors.HotplugError, match=f"not undone: {NEW_DISK} in QEMU"):
        operations.add(guest, DISK, disk, extra, 1)
    assert NEW_DISK in node.qemu.devices
    node.failing.clear()
    node.qemu.obeys = True
    operations.add(guest, DISK, disk, extra, 1)
    assert NEW_DISK in ids(node)


def test_what_the_guest_has_is_not_added(node, image):
    guest = guest_of(node)
    disk, link, uri = samples.disk()
    with pytest.raises(errors.HotplugError, match="has it already; nothing was changed"):
        operations.add(guest, DISK, disk, (link, uri), 0)
    assert node.log == []


def test_a_read_only_disk_is_refused_before_qemu_hears_of_it(node, image):
    guest = guest_of(node)
    disk, extra = new_disk(image, mode="ro")
    with pytest.raises(errors.HotplugError, match="read-only"):
        operations.add(guest, DISK, disk, extra, 1)
    assert "device_add" not in node.log
    assert STORAGE not in node.log


# A NIC comes


def test_a_nic_comes_into_a_network_that_is_ready(node):
    guest = guest_of(node)
    operations.add(guest, NIC, nic(5), None, 1)
    # first what an earlier attempt may have left
    assert node.log == [
        *("netdev_del", "open tap", "network script 1 tap0", "getfd", "netdev_add", "device_add"),
        "save",
    ]
    assert ids(node)[-1] == NEW_NIC
    assert Path(node.files.nic_file(1)).read_text() == "tap0"
    assert node.are_fds_closed()


@pytest.mark.parametrize("fault", ["refuse", "lose"])
@pytest.mark.parametrize("command", ["getfd", "netdev_add", "device_add"])
def test_a_nic_that_does_not_come_leaves_nothing(node, command, fault):
    guest = guest_of(node)
    before = seen(node)
    getattr(node.qemu, fault)(command)
    made = nic(5)
    with pytest.raises(errors.HotplugError, match=f"adding nic {made.uuid}"):
        operations.add(guest, NIC, made, None, 1)
    assert seen(node) == before
    assert made.hvinfo == {}
    assert node.log[-1] == "undo network 1 tap0"
    assert node.log.count("undo network 1 tap0") == 1
    assert node.are_fds_closed()


@pytest.mark.parametrize("what", ["open tap", "network script"])
def test_without_a_network_qemu_hears_nothing_of_a_nic(node, what):
    guest = guest_of(node)
    before = seen(node)
    node.failing.add(what)
    with pytest.raises(errors.HotplugError, match=f"{what}: it fails"):
        operations.add(guest, NIC, nic(5), None, 1)
    assert seen(node) == before
    assert not {"getfd", "netdev_add", "device_add"} & set(node.log)
    assert node.are_fds_closed()


# They go


def test_a_disk_goes_before_its_storage(node):
    guest = guest_of(node)
    disk, _, _ = samples.disk()
    place = operations.remove(guest, DISK, disk, 0)
    assert node.log == ["device_del", "blockdev-del", "save"]
    assert place["id"] == "disk-d0000000-1111-4222"
    assert ids(node) == ["nic-00000000-1111-4222"]
    assert node.qemu.storage == {}


def test_a_nic_goes_before_its_tap(node):
    guest = guest_of(node, nics=2)
    operations.remove(guest, NIC, nic(0), 0)
    assert node.log == ["device_del", "netdev_del", "undo network 0 gnt-no-tap0", "save"]
    assert ids(node)[1:] == ["nic-01000000-1111-4222"]
    # Ganeti counts without gaps
    assert os.listdir(node.files.nic_dir) == ["0"]
    assert Path(node.files.nic_file(0)).read_text() == "gnt-no-tap1"


@pytest.mark.parametrize("dev_type", [DISK, NIC])
def test_from_a_guest_that_refuses_nothing_is_torn(node, dev_type):
    guest = guest_of(node)
    before = seen(node)
    node.qemu.obeys = False
    device = samples.disk()[0] if dev_type == DISK else nic(0)
    with pytest.raises(errors.HotplugError, match=r"refuses to release .* Nothing was removed"):
        operations.remove(guest, dev_type, device, 0)
    assert seen(node) == before
    assert node.log == ["device_del"]


def test_a_lost_answer_is_asked_for_again(node):
    guest = guest_of(node)
    node.qemu.lose("device_del")
    operations.remove(guest, DISK, samples.disk()[0], 0)
    assert node.log == ["device_del", "blockdev-del", "save"]


def test_that_qemu_was_asked_may_not_be_known(node):
    guest = guest_of(node)
    before = seen(node)
    node.qemu.obeys = False
    node.qemu.lose("device_del", times=2)
    with pytest.raises(errors.HotplugError, match="It is not known whether the guest was asked"):
        operations.remove(guest, DISK, samples.disk()[0], 0)
    assert seen(node) == before


@pytest.mark.parametrize(
    ("dev_type", "command"), [(DISK, "query-fdsets"), (NIC, "netdev_del"), (DISK, "save")]
)
def test_what_stays_behind_a_device_that_went_is_said(node, dev_type, command):
    guest = guest_of(node)
    device = samples.disk()[0] if dev_type == DISK else nic(0)
    if command == "save":
        node.failing.add("save")
    else:
        node.qemu.refuse(command)
    with pytest.raises(
        errors.HotplugError, match=r"has let go of .* remove it once more"
    ) as caught:
        operations.remove(guest, dev_type, device, 0)
    assert node.files.runtime in str(caught.value)
    node.failing.clear()
    operations.remove(guest, dev_type, device, 0)
    assert len(ids(node)) == 1
    assert not node.qemu.storage if dev_type == DISK else not node.qemu.netdevs


def test_what_the_guest_never_had_counts_as_removed(node):
    guest = guest_of(node)
    before = seen(node)
    operations.remove(guest, NIC, nic(5), 1)
    assert seen(node) == before
    assert "device_del" not in node.log


def test_what_the_guest_let_go_late_is_put_in_order_first(node, image):
    """A removal was given up; the guest obeyed afterwards."""
    guest = guest_of(node)
    node.qemu.devices.remove("nic-00000000-1111-4222")
    disk, extra = new_disk(image)
    operations.add(guest, DISK, disk, extra, 1)
    assert ids(node) == ["disk-d0000000-1111-4222", NEW_DISK]
    assert node.qemu.netdevs == set()
    assert node.log.index("netdev_del") < node.log.index("device_add")


def test_a_qemu_that_does_not_tell_what_it_has(node, image):
    guest = guest_of(node)
    before = seen(node)
    node.qemu.refuse("qom-list", times=100)
    disk, extra = new_disk(image)
    with pytest.raises(errors.HotplugError):
        operations.add(guest, DISK, disk, extra, 1)
    with pytest.raises(errors.HotplugError):
        operations.remove(guest, NIC, nic(0), 0)
    node.qemu.refuse("qom-list", times=0)
    assert seen(node) == before
    assert node.log == []


# A disk grows


def test_a_disk_grows(node):
    guest = guest_of(node)
    operations.resize_disk(guest, samples.disk()[0], 1 << 30)
    wanted = {"node-name": "disk-d0000000-1111-4222", "size": 1 << 30}
    assert node.qemu.told == [("block_resize", wanted)]


def test_a_disk_that_qemu_does_not_have_does_not_grow(node):
    guest = guest_of(node)
    node.qemu.storage.clear()
    with pytest.raises(errors.HotplugError, match="nothing was resized"):
        operations.resize_disk(guest, samples.disk()[0], 1 << 30)
    assert node.log == []
