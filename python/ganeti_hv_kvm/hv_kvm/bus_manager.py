"""Places on the guest's buses, under the names of the development version's ``bus_manager``.

A guest of machine type pc has the first PCI bus for its disks and NICs, one of type q35 a root port
for each; SCSI disks are on the first SCSI bus of either. A place that is only looked up stays free
until it is reserved.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ganeti import constants, errors

from .devices import q35
from .devices.places import (
    DEVICE_TYPE,
    LSI_CDROM_TARGETS,
    LSI_TARGETS,
    PCI_BUS,
    SCSI_BUS,
    HvInfo,
    check_kind,
    device_id,
    device_info,
    reserved_slots,
)
from .ganeti import hvparams

if TYPE_CHECKING:
    from ganeti import objects

    from ganeti_hv_kvm.qmp_values.replies import PciBus

_NIC = constants.HOTPLUG_TARGET_NIC
_DISK = constants.HOTPLUG_TARGET_DISK

# Ganeti's names.
Q35_STATIC_SLOT = q35.FIXED_SLOT
Q35_NIC_POOL_SLOTS = list(q35.NIC_SLOTS)
Q35_DISK_POOL_SLOTS = list(q35.DISK_SLOTS)


class BusAllocation(NamedTuple):
    """A place for a device: the bus, its kind ("pci", "scsi"), and the place's own properties."""

    bus: str
    bus_type: str
    device_params: Mapping[str, object] = {}

    def to_kvm_info(self) -> dict[str, object]:
        """Give the part of a device's ``hvinfo`` that says where it sits."""
        return {"bus": self.bus, **self.device_params}


class BusAllocator(ABC):
    """Knows which places of one kind are taken."""

    BUS_TYPE: str
    #: What the places are, for people.
    PLACES: str

    def __init__(self, slots: Sequence[int]) -> None:
        """``slots`` are those that may be given away."""
        self._slots = slots
        self._taken: set[int] = set()

    @property
    def bus_type(self) -> str:
        """The kind of bus."""
        return self.BUS_TYPE

    @abstractmethod
    def _place_of(self, slot: int) -> tuple[str, dict[str, object]]:
        """A slot as a bus and properties of -device."""

    @abstractmethod
    def _slot_of(self, bus: str, params: Mapping[str, object]) -> int | None:
        """The slot that this bus and these properties mean; None if it is none of these."""

    def get_next_allocation(self) -> BusAllocation:
        """Give the first free place; it stays free.

        Raises:
            RuntimeError: all are taken, as in Ganeti.
        """
        for slot in self._slots:
            if slot not in self._taken:
                bus, params = self._place_of(slot)
                return BusAllocation(bus, self.bus_type, params)
        raise RuntimeError(f"all {len(self._slots)} {self.PLACES} are taken")

    def reserve(self, allocation: BusAllocation) -> None:
        """Mark a place as taken."""
        self._taken.add(self._known(allocation))

    def release(self, allocation: BusAllocation) -> None:
        """Mark a place as free; one that is free stays so."""
        self._taken.discard(self._known(allocation))

    def _known(self, allocation: BusAllocation) -> int:
        slot = self._slot_of(allocation.bus, allocation.device_params)
        if slot is None:
            raise RuntimeError(f"{allocation.bus} is none of the {self.PLACES}")
        return slot

    def initialize_from_device_info(self, device_infos: Iterable[Mapping[str, object]]) -> None:
        """Mark the places of devices, given as their ``hvinfo``, as far as they are among these."""
        for hvinfo in device_infos:
            slot = self._slot_of(str(hvinfo.get("bus", "")), hvinfo)
            if slot is not None:
                self._taken.add(slot)


class PCIAllocator(BusAllocator):
    """The slots of the first PCI bus."""

    _PCI_BUS = PCI_BUS
    BUS_TYPE = "pci"
    PLACES = f"slots of bus {PCI_BUS} that are not reserved"

    def __init__(self, max_slots: int, reserved_slots: int) -> None:
        """Slots are counted from 0; the first ``reserved_slots`` are never given away."""
        super().__init__(range(reserved_slots, max_slots))

    def _place_of(self, slot: int) -> tuple[str, dict[str, object]]:
        return self._PCI_BUS, {"addr": hex(slot)}

    def _slot_of(self, bus: str, params: Mapping[str, object]) -> int | None:
        return int(hvparams.text(params, "addr"), 16) if bus == self._PCI_BUS else None


class PCIeAllocator(BusAllocator):
    """Root ports, each with room for one device."""

    BUS_TYPE = "pcie"
    PLACES = "root ports"
    POOL_SLOTS: Sequence[int] = ()

    def __init__(self, pool_slots: Sequence[int] | None = None) -> None:
        """``pool_slots`` are the root ports' own slots; None for those of the class."""
        super().__init__(self.POOL_SLOTS if pool_slots is None else pool_slots)

    def _place_of(self, slot: int) -> tuple[str, dict[str, object]]:
        return q35.port_at(slot), {"addr": "0x0"}

    def _slot_of(self, bus: str, params: Mapping[str, object]) -> int | None:
        slot = q35.slot_of(bus)
        return slot if slot in self._slots else None


class PCIeNicAllocator(PCIeAllocator):
    """The root ports for NICs; by a port's number Linux names its NIC, from eno1 on."""

    BUS_TYPE = "pcie-nic"
    PLACES = "root ports for NICs"
    POOL_SLOTS = Q35_NIC_POOL_SLOTS

    def _place_of(self, slot: int) -> tuple[str, dict[str, object]]:
        bus, params = super()._place_of(slot)
        return bus, {**params, "acpi-index": self._slots.index(slot) + 1}


class PCIeDiskAllocator(PCIeAllocator):
    """The root ports for disks."""

    BUS_TYPE = "pcie-disk"
    PLACES = "root ports for disks"
    POOL_SLOTS = Q35_DISK_POOL_SLOTS


class SCSIAllocator(BusAllocator):
    """The targets of the first SCSI bus."""

    _SCSI_BUS = SCSI_BUS
    BUS_TYPE = "scsi"
    PLACES = f"targets of bus {SCSI_BUS}"

    def __init__(self, max_slots: int, reserved_slots: int) -> None:
        """Targets are counted from 0; the first ``reserved_slots`` are never given away."""
        super().__init__(range(reserved_slots, max_slots))

    def _place_of(self, slot: int) -> tuple[str, dict[str, object]]:
        return self._SCSI_BUS, {"channel": 0, "scsi-id": slot, "lun": 0}

    def _slot_of(self, bus: str, params: Mapping[str, object]) -> int | None:
        return hvparams.number(params, "scsi-id") if bus == self._SCSI_BUS else None


_PORTS_FOR = {_NIC: PCIeNicAllocator.BUS_TYPE, _DISK: PCIeDiskAllocator.BUS_TYPE}


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
            errors.HotplugError: this kind of device is not known.
        """
        check_kind(dev_type)
        if dev_type == _DISK and hv_dev_type in constants.HT_SCSI_DEVICE_TYPES:
            kind = SCSIAllocator.BUS_TYPE
        elif _PORTS_FOR[dev_type] in self.allocators:
            kind = _PORTS_FOR[dev_type]
        else:
            kind = PCIAllocator.BUS_TYPE
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


def _scsi_allocator(hvp: Mapping[str, object]) -> SCSIAllocator:
    """The targets of the guest's controller; on an lsi its CD-ROMs are in between."""
    if hvp.get(constants.HV_KVM_SCSI_CONTROLLER_TYPE) != constants.HT_SCSI_CONTROLLER_LSI:
        return SCSIAllocator(constants.MAX_DISKS, 0)
    allocator = SCSIAllocator(LSI_TARGETS, 0)
    kind = hvp.get(constants.HV_KVM_CDROM_DISK_TYPE) or hvp.get(constants.HV_DISK_TYPE)
    images = (constants.HV_CDROM_IMAGE_PATH, constants.HV_KVM_CDROM2_IMAGE_PATH)
    allocator.initialize_from_device_info(
        {"bus": SCSI_BUS, "scsi-id": target}
        for image, target in zip(images, LSI_CDROM_TARGETS, strict=True)
        if hvp.get(image) and kind in constants.HT_SCSI_DEVICE_TYPES
    )
    return allocator


def manager_for(
    hvp: Mapping[str, object] | None = None,
    hvinfos: Iterable[Mapping[str, object]] = (),
    *,
    root_ports: bool = False,
) -> BusAllocatorManager:
    """The buses of a guest with these parameters and devices, as ``_get_bus_manager`` gives them.

    Args:
        hvp: may say how many PCI slots are reserved, which a guest with root ports does not need.
        hvinfos: where the devices of a guest that runs sit.
        root_ports: its disks and NICs sit behind root ports.
    """
    reserved = reserved_slots(hvp or {})
    allocators: list[BusAllocator] = (
        [PCIeNicAllocator(), PCIeDiskAllocator()]
        if root_ports
        else [PCIAllocator(constants.QEMU_PCI_SLOTS, reserved)]
    )
    allocators.append(_scsi_allocator(hvp or {}))
    taken = list(hvinfos)
    for allocator in allocators:
        allocator.initialize_from_device_info(taken)
    return BusAllocatorManager(allocators)


def places_in_qemu(pci_buses: Iterable[PciBus]) -> list[HvInfo]:
    """Where QEMU has devices, from its answer to ``query-pci``, each as part of an ``hvinfo``.

    A bus behind a bridge or a root port has its name.
    """
    places: list[HvInfo] = []
    for bus in pci_buses:
        for device in bus["devices"]:
            places.append({"bus": PCI_BUS, "addr": hex(device["slot"])})
            behind = device.get("pci_bridge", {}).get("devices", ())
            places += [{"bus": device["qdev_id"], "addr": hex(one["slot"])} for one in behind]
    return places


def place(manager: BusAllocatorManager, dev_type: str, devid: str, model: str) -> HvInfo:
    """Give a device the first free place, which is taken from then on, and return its ``hvinfo``.

    Raises:
        errors.HypervisorError: there is no place for it.
    """
    if model == constants.HT_NIC_NE2K_ISA:
        return device_info(dev_type, devid, model, {})
    try:
        allocation = manager.get_next_allocation(dev_type, model)
    except RuntimeError as err:
        raise errors.HypervisorError(f"no place for {devid}: {err}") from err
    manager.commit(allocation)
    return device_info(dev_type, devid, model, allocation)


def place_all(
    hvp: Mapping[str, object],
    disks: Iterable[objects.Disk],
    nics: Iterable[objects.NIC],
    *,
    root_ports: bool = False,
    taken: Iterable[Mapping[str, object]] = (),
) -> BusAllocatorManager:
    """Give each disk and NIC of a guest about to start its ``hvinfo``, disks first.

    Returns the buses, on which these are taken now.

    Args:
        hvp, root_ports: as for `manager_for`.
        taken: places of devices that are neither, such as those of kvm_extra.

    Raises:
        errors.HypervisorError: a bus is too small.
    """
    manager = manager_for(hvp, taken, root_ports=root_ports)
    kinds: tuple[tuple[str, Iterable[objects.Disk | objects.NIC]], ...]
    kinds = ((_DISK, disks), (_NIC, nics))
    for dev_type, found in kinds:
        model = DEVICE_TYPE[dev_type](hvp)
        for device in found:
            device.hvinfo = place(manager, dev_type, device_id(dev_type, device), model)
    return manager


def place_on_pci(manager: BusAllocatorManager, devid: str) -> HvInfo:
    """Give a device that is neither disk nor NIC the first free slot of a pc's PCI bus.

    Raises:
        errors.HypervisorError: all are taken.
    """
    try:
        allocation = manager.allocators[PCIAllocator.BUS_TYPE].get_next_allocation()
    except RuntimeError as err:
        raise errors.HypervisorError(f"no place for {devid}: {err}") from err
    manager.commit(allocation)
    return allocation.to_kvm_info()
