"""Places on buses, by the development version's names."""

from __future__ import annotations

import pytest
from ganeti import constants, errors, objects

from ganeti_hv_kvm.hv_kvm import KVMHypervisor, bus_manager
from ganeti_hv_kvm.hv_kvm.bus_manager import (
    BusAllocation,
    BusAllocatorManager,
    PCIAllocator,
    PCIeDiskAllocator,
    PCIeNicAllocator,
    SCSIAllocator,
    manager_for,
)
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime


@pytest.fixture
def pci() -> PCIAllocator:
    return PCIAllocator(max_slots=32, reserved_slots=12)


@pytest.fixture
def scsi() -> SCSIAllocator:
    return SCSIAllocator(16, reserved_slots=0)


def test_a_place_is_free_until_it_is_reserved(pci: PCIAllocator) -> None:
    first = pci.get_next_allocation()
    assert first == pci.get_next_allocation()
    assert first.to_kvm_info() == {"bus": "pci.0", "addr": "0xc"}
    pci.reserve(first)
    assert pci.get_next_allocation().device_params == {"addr": "0xd"}
    pci.release(first)
    assert pci.get_next_allocation() == first


def test_scsi_places_can_be_released(scsi: SCSIAllocator) -> None:
    first = scsi.get_next_allocation()
    assert first.to_kvm_info() == {"bus": "scsi.0", "channel": 0, "scsi-id": 0, "lun": 0}
    scsi.reserve(first)
    assert scsi.get_next_allocation().device_params["scsi-id"] == 1
    scsi.release(first)
    scsi.release(first)
    assert scsi.get_next_allocation() == first


def test_devices_of_a_running_guest(pci: PCIAllocator, scsi: SCSIAllocator) -> None:
    devices = [
        {"bus": "pci.0", "addr": "0xc"},
        {"bus": "pci.0", "addr": "0xe"},
        {"bus": "scsi.0", "scsi-id": 0},
        {"driver": "ne2k_isa"},
    ]
    for allocator in (pci, scsi):
        allocator.initialize_from_device_info(devices)
    assert pci.get_next_allocation().device_params["addr"] == "0xd"
    assert scsi.get_next_allocation().device_params["scsi-id"] == 1


def test_a_full_bus(scsi: SCSIAllocator) -> None:
    scsi.initialize_from_device_info({"bus": "scsi.0", "scsi-id": slot} for slot in range(16))
    with pytest.raises(RuntimeError, match=r"scsi\.0"):
        scsi.get_next_allocation()


def test_allocations_do_not_share_their_properties() -> None:
    assert BusAllocation("pci.0", "pci").to_kvm_info() == {"bus": "pci.0"}
    assert BusAllocation("pci.0", "pci").device_params == {}


def test_each_kind_of_device_goes_to_its_bus(pci: PCIAllocator, scsi: SCSIAllocator) -> None:
    manager = BusAllocatorManager([pci, scsi])
    kinds = {
        ("nic", "paravirtual"): "pci",
        ("disk", "paravirtual"): "pci",
        ("disk", "scsi-hd"): "scsi",
    }
    for (dev_type, model), bus_type in kinds.items():
        allocation = manager.get_next_allocation(dev_type, model)
        assert allocation.bus_type == bus_type
        manager.commit(allocation)
        assert manager.get_next_allocation(dev_type, model) != allocation
        manager.release(allocation)
        assert manager.get_next_allocation(dev_type, model) == allocation


def test_a_bus_that_is_not_there(pci: PCIAllocator, scsi: SCSIAllocator) -> None:
    with pytest.raises(RuntimeError, match="scsi"):
        BusAllocatorManager([pci]).get_next_allocation("disk", "scsi-hd")
    with pytest.raises(RuntimeError, match="scsi"):
        BusAllocatorManager([pci]).commit(scsi.get_next_allocation())


def test_reserved_slots_are_a_parameter() -> None:
    default = manager_for().get_next_allocation("nic", "paravirtual")
    assert int(default.device_params["addr"], 16) == constants.QEMU_DEFAULT_PCI_RESERVATIONS
    hvp = {constants.HV_KVM_PCI_RESERVATIONS: 20}
    manager = KVMHypervisor()._get_bus_manager(hvp)
    assert manager.get_next_allocation("nic", "paravirtual").device_params == {"addr": "0x14"}


def test_root_ports() -> None:
    nics, disks = PCIeNicAllocator(), PCIeDiskAllocator()
    first = nics.get_next_allocation()
    assert first.to_kvm_info() == {"bus": "rp3", "addr": "0x0", "acpi-index": 1}
    assert disks.get_next_allocation().to_kvm_info() == {"bus": "rp11", "addr": "0x0"}
    nics.reserve(first)
    assert nics.get_next_allocation().to_kvm_info() == {
        "bus": "rp4",
        "addr": "0x0",
        "acpi-index": 2,
    }
    nics.release(first)
    assert nics.get_next_allocation() == first


def test_a_place_of_another_kind_is_not_taken(pci: PCIAllocator) -> None:
    nic = PCIeNicAllocator().get_next_allocation()
    for allocator in (pci, PCIeDiskAllocator()):
        with pytest.raises(RuntimeError, match="rp3 is none of the"):
            allocator.reserve(nic)


def test_root_ports_of_a_running_guest() -> None:
    manager = manager_for(
        None,
        [
            {"bus": "rp3", "addr": "0x0"},
            {"bus": "rp12", "addr": "0x0"},
            {"bus": "pci.0", "addr": "0xc"},
            {"bus": "rp99", "addr": "0x0"},
            {"driver": "ne2k_isa"},
        ],
        root_ports=True,
    )
    places = [manager.get_next_allocation(kind, "paravirtual") for kind in ("nic", "disk")]
    assert [place.bus for place in places] == ["rp4", "rp11"]
    manager.commit(places[1])
    assert manager.get_next_allocation("disk", "paravirtual").bus == "rp13"
    assert manager.get_next_allocation("disk", "scsi-hd").bus == "scsi.0"


@pytest.mark.parametrize(("kind", "count", "what"), [("nic", 8, "NICs"), ("disk", 16, "disks")])
def test_no_more_root_ports(kind: str, count: int, what: str) -> None:
    manager = manager_for(root_ports=True)
    for number in range(count):
        bus_manager.place(manager, kind, f"x{number}", "paravirtual")
    with pytest.raises(
        errors.HypervisorError, match=f"no place for y: all {count} root ports for {what} are taken"
    ):
        bus_manager.place(manager, kind, "y", "paravirtual")


def test_what_decides_on_root_ports() -> None:
    hypervisor = KVMHypervisor()
    q35 = {constants.HV_KVM_MACHINE_VERSION: "q35"}
    command = ["/bin/qemu", "-device", "pcie-root-port,id=rp3,bus=pcie.0"]
    nic = objects.NIC(uuid="n", hvinfo={"bus": "rp3", "addr": "0x0"})
    with_ports = KVMRuntime([command, [nic], q35, []])
    # started by somebody who made a bus pci.0 by hand
    without = KVMRuntime([["/bin/qemu", "-machine", "q35"], [], q35, []])
    for arguments, bus in (
        ({}, "pci.0"),
        ({"hvp": q35}, "rp3"),
        ({"hvp": q35, "runtime": with_ports}, "rp4"),
        ({"hvp": q35, "runtime": without}, "pci.0"),
        ({"chipset": "q35"}, "rp3"),
        ({"hvp": q35, "chipset": "i440fx"}, "pci.0"),
    ):
        manager = hypervisor._get_bus_manager(**arguments)
        assert manager.get_next_allocation("nic", "paravirtual").bus == bus, arguments


def test_places_that_qemu_tells() -> None:
    behind = {"slot": 0, "qdev_id": "nic-1"}
    told = [
        {
            "bus": 0,
            "devices": [
                {"slot": 2, "qdev_id": ""},
                {"slot": 3, "qdev_id": "rp3", "pci_bridge": {"bus": {}, "devices": [behind]}},
                {"slot": 4, "qdev_id": "rp4", "pci_bridge": {"bus": {}}},
            ],
        }
    ]
    assert bus_manager.places_in_qemu(told) == [
        {"bus": "pci.0", "addr": "0x2"},
        {"bus": "pci.0", "addr": "0x3"},
        {"bus": "rp3", "addr": "0x0"},
        {"bus": "pci.0", "addr": "0x4"},
    ]


@pytest.mark.parametrize(
    ("hvparams", "targets"),
    [
        ({"scsi_controller_type": "lsi"}, [0, 1, 2, 3, 4, 5, 6, 7]),
        (
            {"scsi_controller_type": "lsi", "cdrom_image_path": "/a", "cdrom_disk_type": "scsi-cd"},
            [0, 1, 2, 3, 4, 5, 7],
        ),
        (
            {"scsi_controller_type": "lsi", "cdrom2_image_path": "/a", "disk_type": "scsi-hd"},
            [0, 1, 2, 3, 4, 6, 7],
        ),
        (
            {"scsi_controller_type": "lsi", "cdrom_image_path": "/a", "cdrom_disk_type": "ide"},
            [0, 1, 2, 3, 4, 5, 6, 7],
        ),
        ({"scsi_controller_type": "megasas"}, list(range(16))),
        ({}, list(range(16))),
    ],
)
def test_targets_of_each_controller(hvparams: dict, targets: list[int]) -> None:
    manager = bus_manager.manager_for(hvparams)
    found = [
        bus_manager.place(manager, constants.HOTPLUG_TARGET_DISK, f"disk-{seq}", "scsi-hd")
        for seq in range(len(targets))
    ]

    assert [place["scsi-id"] for place in found] == targets
    with pytest.raises(errors.HypervisorError, match="no place for disk-last: all"):
        bus_manager.place(manager, constants.HOTPLUG_TARGET_DISK, "disk-last", "scsi-hd")


def test_a_place_of_another_type_is_not_taken_for_another_place(pci: PCIAllocator) -> None:
    with pytest.raises(errors.HypervisorError, match="addr is no text, but 13"):
        pci.initialize_from_device_info([{"bus": "pci.0", "addr": 13}])
