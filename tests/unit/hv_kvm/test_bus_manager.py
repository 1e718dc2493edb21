"""Places on buses, by the development version's names."""

from __future__ import annotations

import pytest
from ganeti import constants

from ganeti_hv_kvm.hv_kvm import KVMHypervisor
from ganeti_hv_kvm.hv_kvm.bus_manager import (
    BusAllocation,
    BusAllocatorManager,
    PCIAllocator,
    SCSIAllocator,
    manager_for,
)


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
