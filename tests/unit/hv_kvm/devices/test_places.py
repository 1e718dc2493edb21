"""Places on the guest's buses."""

from __future__ import annotations

from typing import Any

import pytest
from ganeti import constants, errors, objects

from ganeti_hv_kvm.hv_kvm import bus_manager
from ganeti_hv_kvm.hv_kvm.devices import places
from unit.hv_kvm.command_line import samples

NIC = constants.HOTPLUG_TARGET_NIC
DISK = constants.HOTPLUG_TARGET_DISK


def test_id_is_short_and_tells_the_kind() -> None:
    nic = objects.NIC(uuid="003fc157-66a8-4e6d-8b7e-ec4f69751396")

    assert places.device_id(NIC, nic) == "nic-003fc157-66a8-4e6d"


def test_pci_and_scsi_places() -> None:
    slots = places.bus_slots()
    info = [
        places.device_info(NIC, "n", "paravirtual", slots),
        places.device_info(DISK, "d", "paravirtual", slots),
        places.device_info(DISK, "s", "scsi-block", slots),
        places.device_info(DISK, "t", "scsi-hd", slots),
    ]

    assert [places.device_string(one) for one in info] == [
        "virtio-net-pci,id=n,bus=pci.0,addr=0xc",
        "virtio-blk-pci,id=d,bus=pci.0,addr=0xd",
        "scsi-block,id=s,bus=scsi.0,channel=0,scsi-id=0,lun=0",
        "scsi-hd,id=t,bus=scsi.0,channel=0,scsi-id=1,lun=0",
    ]


def test_a_place_that_is_given() -> None:
    place = bus_manager.BusAllocation("pcie.1", "pci", {"addr": "0x0"})
    info = places.device_info(
        constants.HOTPLUG_TARGET_NIC, "nic-1", constants.HT_NIC_PARAVIRTUAL, place
    )
    assert info == {"driver": "virtio-net-pci", "id": "nic-1", "bus": "pcie.1", "addr": "0x0"}


def test_isa_cards_are_on_no_pci_bus() -> None:
    slots = places.bus_slots()

    assert places.device_info(NIC, "n", "ne2k_isa", slots) == {"driver": "ne2k_isa", "id": "n"}
    assert slots[places.PCI_BUS].count(True) == constants.QEMU_DEFAULT_PCI_RESERVATIONS


@pytest.mark.parametrize("reserved", [0, 1, 12, 32])
def test_reserved_slots(reserved: int) -> None:
    slots = places.bus_slots({constants.HV_KVM_PCI_RESERVATIONS: reserved})

    assert slots[places.PCI_BUS].to01() == "1" * reserved + "0" * (32 - reserved)
    assert slots[places.SCSI_BUS].to01() == "0" * 16


def test_a_full_bus_is_a_clear_error() -> None:
    slots = places.bus_slots({constants.HV_KVM_PCI_RESERVATIONS: 32})

    with pytest.raises(errors.HypervisorError, match=r"nic-1 on bus pci\.0: all 32 slots"):
        places.device_info(NIC, "nic-1", "e1000", slots)


def runtime(*entries: Any) -> tuple:
    nics = [objects.NIC(uuid=f"n{seq}", hvinfo=info) for seq, info in enumerate(entries)]
    disk = objects.Disk(uuid="d0", hvinfo={"bus": "scsi.0", "scsi-id": 3})
    return ([], nics, {}, [(disk, "/link", None)])


def test_slots_of_a_running_guest() -> None:
    slots = places.bus_slots(
        runtime=runtime({"bus": "pci.0", "addr": "0x1f"}, {}, None, {"bus": "usb.0"})
    )

    assert slots[places.PCI_BUS].to01() == "1" * 12 + "0" * 19 + "1"
    assert slots[places.SCSI_BUS].to01() == "0001" + "0" * 12


def test_devices_are_found_by_uuid() -> None:
    found = runtime({}, {"addr": "0x8"})

    assert places.find_in_runtime(NIC, objects.NIC(uuid="n1"), found).hvinfo == {"addr": "0x8"}
    assert places.find_in_runtime(DISK, objects.Disk(uuid="d0"), found)[1:] == ("/link", None)
    for kind, device in ((NIC, objects.NIC(uuid="d0")), (DISK, objects.Disk(uuid="n1"))):
        with pytest.raises(errors.HotplugError, match=device.uuid):
            places.find_in_runtime(kind, device, found)


def test_disks_are_placed_before_nics() -> None:
    made = samples.instance(nics=2)
    disks = [samples.disk(seq=seq)[0] for seq in range(2)]

    bus_manager.place_all(made.hvparams, disks, made.nics)

    assert [one.hvinfo["addr"] for one in (*disks, *made.nics)] == ["0xc", "0xd", "0xe", "0xf"]


def test_what_can_come_and_go() -> None:
    assert constants.HT_NIC_NE2K_ISA not in places.HOTPLUGGABLE_DEVICE_TYPES[NIC]
    assert constants.HT_NIC_PARAVIRTUAL in places.HOTPLUGGABLE_DEVICE_TYPES[NIC]
    assert set(places.HOTPLUGGABLE_DEVICE_TYPES[DISK]) == {
        "paravirtual",
        "scsi-block",
        "scsi-cd",
        "scsi-generic",
        "scsi-hd",
    }


@pytest.mark.parametrize(
    ("params", "uri", "opened"),
    [
        ({"access": "userspace"}, "rbd:a/b", "rbd:a/b"),
        ({"access": "userspace"}, None, "/link"),
        ({"access": "kernelspace"}, "rbd:a/b", "/link"),
        ({}, "rbd:a/b", "/link"),
    ],
)
def test_what_qemu_opens(params: dict, uri: str | None, opened: str) -> None:
    assert places.drive_uri(objects.Disk(params=params), "/link", uri) == opened
