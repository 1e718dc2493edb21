"""Devices of a runtime file beside QEMU's, with answers as a QEMU 7.2 gives them."""

from __future__ import annotations

import pytest

from ganeti_hv_kvm.cli.node import devices
from ganeti_hv_kvm.cli.node.devices import Device
from ganeti_hv_kvm.cli.node.runtime_file import Disk, RuntimeFile

DISK, NIC = "disk-1", "nic-1"


def runtime(**disk):
    values = {"mode": "rw", "hvinfo": {"driver": "virtio-blk-pci", "id": DISK, "addr": "0xc"}}
    nic = {
        "mac": "AA:00:00:12:34:00",
        "hvinfo": {"driver": "virtio-net-pci", "id": NIC, "bus": "pci.0", "addr": "0xe"},
    }
    command = ["q", "-device", "virtio-rng-pci,id=rng0", "-device", '{"driver":"x","id": "usb0"}']
    return RuntimeFile(command, [nic], {}, [Disk({**values, **disk}, "/srv/d0", None)])


def peripherals(**kinds):
    return [{"name": "type", "type": "string"}] + [
        {"name": name, "type": f"child<{kind}>"} for name, kind in kinds.items()
    ]


BOTH = peripherals(**{DISK: "virtio-blk-pci", NIC: "virtio-net-pci", "rng0": "virtio-rng-pci"})
BLOCKS = [
    {
        "device": DISK,
        "qdev": f"/machine/peripheral/{DISK}/virtio-backend",
        "inserted": {"file": "/srv/d0", "ro": False, "node-name": "#block1"},
    },
    {"device": "floppy0", "qdev": "/machine/unattached/device[16]"},
]
PCI = [
    {
        "bus": 0,
        "devices": [
            {"qdev_id": DISK, "slot": 12},
            {"qdev_id": "", "slot": 1, "pci_bridge": {"devices": [{"qdev_id": NIC, "slot": 14}]}},
        ],
    }
]
MACS = {NIC: "aa:00:00:12:34:00"}


def words(stored, *answers):
    there = devices.in_qemu(*answers)
    born = devices.named_in(stored.command)
    return [one.words for one in devices.differences(devices.in_runtime(stored), there, born)]


def test_equal():
    assert words(runtime(), BOTH, BLOCKS, PCI, MACS) == []
    assert devices.in_qemu(BOTH, BLOCKS, PCI, MACS)[:2] == [
        Device(DISK, "disk", "virtio-blk-pci", "PCI slot 12", "/srv/d0", False),
        Device(NIC, "NIC", "virtio-net-pci", "PCI slot 14", MACS[NIC]),
    ]


def test_one_that_the_guest_let_go_of():
    there = peripherals(**{NIC: "virtio-net-pci"})
    assert words(runtime(), there, [], PCI, MACS) == [
        f"disk {DISK} is in the runtime file, and QEMU does not have it"
    ]


def test_one_that_was_added_by_hand():
    there = [*BOTH, {"name": "extra", "type": "child<e1000>"}]
    assert words(runtime(), there, BLOCKS, PCI, MACS) == [
        "QEMU has NIC extra, and the runtime file does not"
    ]


@pytest.mark.parametrize(
    ("blocks", "pci", "macs", "difference"),
    [
        ([{**BLOCKS[0], "inserted": {"file": "/srv/d9"}}], PCI, MACS, "its file is /srv/d0 in"),
        ([{**BLOCKS[0], "inserted": {"file": "/srv/d0", "ro": True}}], PCI, MACS, "read-only in Q"),
        (BLOCKS, [{"devices": [{"qdev_id": DISK, "slot": 3}]}], MACS, "PCI slot 3 in QEMU"),
        (BLOCKS, PCI, {NIC: "aa:00:00:12:34:99"}, "aa:00:00:12:34:99 in QEMU"),
    ],
)
def test_what_differs(blocks, pci, macs, difference):
    (told,) = words(runtime(), BOTH, blocks, pci, macs)
    assert difference in told


def test_a_file_that_qemu_was_given_opened_cannot_be_compared():
    blocks = [{**BLOCKS[0], "inserted": {"file": "/dev/fdset/3", "ro": False}}]
    assert words(runtime(), BOTH, blocks, PCI, MACS) == []


def test_what_is_not_told_is_no_difference():
    assert words(runtime(hvinfo={"id": DISK}), BOTH, None, None, {}) == []


def test_devices_without_an_id_are_left_out():
    assert [one.name for one in devices.in_runtime(runtime(hvinfo={}))] == [NIC]
    assert [one.name for one in devices.in_runtime(runtime(hvinfo=None))] == [NIC]
