"""One description of a device, worded for the command line and for QMP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ganeti_hv_kvm.hv_kvm.devices import description
from ganeti_hv_kvm.hv_kvm.qemu.verbs.nics import tap_fd_names

DISK = {"driver": "virtio-blk-pci", "id": "disk-1", "bus": "pci.0", "addr": "0xd"}
NIC = {"driver": "virtio-net-pci", "id": "nic-1", "bus": "pci.0", "addr": "0xe"}
TWO_QUEUES = {"mq": (True, 2), "vhost": True}


def test_a_disk() -> None:
    disk = description.disk(DISK, "disk-1", True, boot_index=1)
    assert disk.as_argument() == (
        "virtio-blk-pci,id=disk-1,bus=pci.0,addr=0xd,drive=disk-1,write-cache=on,bootindex=1"
    )
    assert disk.as_qmp() == {**DISK, "drive": "disk-1", "write-cache": "on", "bootindex": 1}


@pytest.mark.parametrize("driver", ["scsi-block", "scsi-generic"])
def test_a_passed_through_device_has_no_cache_to_switch(driver: str) -> None:
    disk = description.disk({"driver": driver, "id": "d"}, "d", True)
    assert disk.as_argument() == f"{driver},id=d,drive=d"
    assert disk.as_qmp() == {"driver": driver, "id": "d", "drive": "d"}


def test_a_drive_says_itself_what_its_cache_is() -> None:
    assert "write-cache" not in description.disk(DISK, "disk-1", None).as_qmp()


def test_only_json_can_say_a_list() -> None:
    """Fault: ``iothread-vq-mapping=[{'iothread': ...},, {...}]``, Python's words for it."""
    threads = {"num-queues": 2, "iothread-vq-mapping": [{"iothread": "iothread0"}]}
    disk = description.disk(DISK, "disk-1", False, threads=threads)
    assert json.loads(disk.as_argument()) == disk.as_qmp()
    assert disk.as_qmp()["iothread-vq-mapping"] == [{"iothread": "iothread0"}]


def test_what_a_disk_was_born_with_goes_before_what_this_node_would_choose() -> None:
    disk = description.disk({**DISK, "num-queues": 1}, "d", True, threads={"num-queues": 4})
    assert disk.as_qmp()["num-queues"] == 1


@pytest.mark.parametrize(
    ("value", "text"), [("a,b", "a,,b"), (True, "on"), (False, "off"), (7, "7"), ("", "")]
)
def test_values_on_the_command_line(value: Any, text: str) -> None:
    assert description.Device({"driver": "d", "key": value}).as_argument() == f"d,key={text}"


def test_a_nic_with_queues() -> None:
    nic = description.nic(NIC, "nic-1", "aa:00:00:00:00:01", TWO_QUEUES, boot_index=2)
    assert nic.as_argument() == (
        "virtio-net-pci,id=nic-1,bus=pci.0,addr=0xe,netdev=nic-1,mac=aa:00:00:00:00:01,"
        "bootindex=2,mq=on,vectors=6"
    )
    # QEMU 9.2 and later take no texts for numbers and truth values
    assert {"mq": True, "vectors": 6}.items() <= nic.as_qmp().items()


def test_no_rom_can_be_read_from_inside_a_chroot() -> None:
    assert description.nic(NIC, "n", "m", {}, without_rom=True).as_qmp()["romfile"] == ""
    assert "romfile" not in description.nic(NIC, "n", "m", {}).as_qmp()


def test_a_netdev_of_inherited_descriptors() -> None:
    assert description.netdev("n", [3], [], {}).as_argument() == "type=tap,id=n,fd=3"
    assert description.netdev("n", [3, 4], [5, 6], TWO_QUEUES).as_argument() == (
        "type=tap,id=n,fds=3:4,vhostfds=5:6,vhost=on"
    )


def test_a_netdev_of_descriptors_that_qemu_was_given() -> None:
    names = tap_fd_names("n", TWO_QUEUES)
    assert names == ["n-0", "n-1", "n-vhost-0", "n-vhost-1"]
    assert description.netdev("n", names[:2], names[2:], TWO_QUEUES).as_qmp() == {
        "type": "tap",
        "id": "n",
        "fds": "n-0:n-1",
        "vhostfds": "n-vhost-0:n-vhost-1",
        "vhost": True,
    }


def test_a_backend_is_flattened_for_the_command_line() -> None:
    node = {"driver": "raw", "cache": {"direct": True}, "file": {"filename": "/a,b"}}
    backend = description.Backend(node)
    assert backend.as_argument() == "driver=raw,cache.direct=on,file.filename=/a,,b"
    assert backend.as_qmp() == node


@pytest.mark.parametrize("hvinfo", [None, {}, {"id": "disk-1", "bus": "pci.0"}])
def test_a_device_of_which_nothing_is_known_is_refused(hvinfo) -> None:
    for describe in (
        lambda: description.disk(hvinfo, "disk-1", None),
        lambda: description.nic(hvinfo, "nic-1", "aa:00:00:00:00:01", {}),
    ):
        with pytest.raises(ValueError, match="names no driver"):
            describe()
