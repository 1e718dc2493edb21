"""Places on the guest's buses, under the names of the development version's ``bus_manager``.

The places themselves are those of `devices`: the first PCI bus and the first SCSI bus. A place that
is only looked up stays free until it is reserved.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ganeti import constants

from .devices import PCI_BUS, SCSI_BUS


class BusAllocation(NamedTuple):
    """A place for a device: the bus, its kind ("pci", "scsi"), and the place's own properties."""

    bus: str
    bus_type: str
    device_params: Mapping[str, Any] = {}

    def to_kvm_info(self) -> dict[str, Any]:
        """Give the part of a device's ``hvinfo`` that says where it sits."""
        return {"bus": self.bus, **self.device_params}


class BusAllocator(ABC):
    """Knows which slots of one bus are taken."""

    BUS_TYPE: str

    def __init__(self, max_slots: int, reserved_slots: int) -> None:
        """Slots are counted from 0; the first ``reserved_slots`` are never given away."""
        self._slots = range(reserved_slots, max_slots)
        self._taken: set[int] = set()

    @property
    def bus_type(self) -> str:
        """The kind of bus."""
        return self.BUS_TYPE

    @property
    @abstractmethod
    def _bus(self) -> str:
        """QEMU's name of the bus."""

    @abstractmethod
    def _params_of(self, slot: int) -> dict[str, Any]:
        """A slot as properties of -device."""

    @abstractmethod
    def _slot_of(self, params: Mapping[str, Any]) -> int:
        """The slot in properties of -device."""

    def get_next_allocation(self) -> BusAllocation:
        """Give the first free place; it stays free.

        Raises:
            RuntimeError: the bus is full, as in Ganeti.
        """
        for slot in self._slots:
            if slot not in self._taken:
                return BusAllocation(self._bus, self.bus_type, self._params_of(slot))
        raise RuntimeError(f"no place on bus {self._bus}: all its slots are taken or reserved")

    def reserve(self, allocation: BusAllocation) -> None:
        """Mark a place as taken."""
        self._taken.add(self._slot_of(allocation.device_params))

    def release(self, allocation: BusAllocation) -> None:
        """Mark a place as free; one that is free stays so."""
        self._taken.discard(self._slot_of(allocation.device_params))

    def initialize_from_device_info(self, device_infos: Iterable[Mapping[str, Any]]) -> None:
        """Mark the places of devices, given as their ``hvinfo``, as far as they are on this bus."""
        for hvinfo in device_infos:
            if hvinfo.get("bus") == self._bus:
                self._taken.add(self._slot_of(hvinfo))


class PCIAllocator(BusAllocator):
    """The slots of the first PCI bus."""

    _PCI_BUS = PCI_BUS
    BUS_TYPE = "pci"

    @property
    def _bus(self) -> str:
        return self._PCI_BUS

    def _params_of(self, slot: int) -> dict[str, Any]:
        return {"addr": hex(slot)}

    def _slot_of(self, params: Mapping[str, Any]) -> int:
        return int(params["addr"], 16)


class SCSIAllocator(BusAllocator):
    """The targets of the first SCSI bus."""

    _SCSI_BUS = SCSI_BUS
    BUS_TYPE = "scsi"

    @property
    def _bus(self) -> str:
        return self._SCSI_BUS

    def _params_of(self, slot: int) -> dict[str, Any]:
        return {"channel": 0, "scsi-id": slot, "lun": 0}

    def _slot_of(self, params: Mapping[str, Any]) -> int:
        return int(params["scsi-id"])


class BusAllocatorManager:
    """The buses of one guest."""

    def __init__(self, allocators: Iterable[BusAllocator]) -> None:
        self.allocators = {allocator.bus_type: allocator for allocator in allocators}

    def get_next_allocation(self, dev_type: str, hv_dev_type: str) -> BusAllocation:
        """Give the first free place for a device; it stays free until ``commit``.

        Args:
            dev_type: ``constants.HOTPLUG_TARGET_DISK`` or ``HOTPLUG_TARGET_NIC``.
            hv_dev_type: the model, as the hypervisor parameters name it.

        Raises:
            RuntimeError: the bus for it is full, or not there.
        """
        is_scsi = dev_type == constants.HOTPLUG_TARGET_DISK and (
            hv_dev_type in constants.HT_SCSI_DEVICE_TYPES
        )
        kind = SCSIAllocator.BUS_TYPE if is_scsi else PCIAllocator.BUS_TYPE
        return self._of(kind).get_next_allocation()

    def commit(self, allocation: BusAllocation) -> None:
        """Mark a place as taken."""
        self._of(allocation.bus_type).reserve(allocation)

    def release(self, allocation: BusAllocation) -> None:
        """Mark a place as free."""
        self._of(allocation.bus_type).release(allocation)

    def _of(self, bus_type: str) -> BusAllocator:
        try:
            return self.allocators[bus_type]
        except KeyError:
            raise RuntimeError(f"the guest has no {bus_type} bus") from None


def manager_for(
    hvp: Mapping[str, Any] | None = None, hvinfos: Iterable[Mapping[str, Any]] = ()
) -> BusAllocatorManager:
    """The buses of a guest with these parameters and devices, as ``_get_bus_manager`` gives them.

    Args:
        hvp: may say how many PCI slots are reserved.
        hvinfos: where the devices of a guest that runs sit.
    """
    reserved = (hvp or {}).get(
        constants.HV_KVM_PCI_RESERVATIONS, constants.QEMU_DEFAULT_PCI_RESERVATIONS
    )
    pci = PCIAllocator(constants.QEMU_PCI_SLOTS, reserved)
    scsi = SCSIAllocator(constants.MAX_DISKS, 0)
    taken = list(hvinfos)
    for allocator in (pci, scsi):
        allocator.initialize_from_device_info(taken)
    return BusAllocatorManager([pci, scsi])
