"""Where disks and NICs sit on the guest's buses, and what they are called there.

The place of a device is kept in its ``hvinfo``, a dict of -device properties plus "driver", and
travels with the runtime file, so its keys, their order and their values are those of Ganeti.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ganeti import constants, errors, utils

from ganeti_hv_kvm.hv_kvm.ganeti import hvparams
from ganeti_hv_kvm.hv_kvm.ganeti.generation import bitarray

from .description import Device

if TYPE_CHECKING:
    from ganeti import objects

HvInfo = dict[str, object]


@runtime_checkable
class Allocation(Protocol):
    """A place for a device that somebody else has found."""

    def to_kvm_info(self) -> HvInfo:
        """Give the part of a device's hvinfo that says where it sits."""


PCI_BUS = "pci.0"
SCSI_BUS = "scsi.0"

#: How many targets an lsi controller has; the others have more than Ganeti allows disks.
LSI_TARGETS = 8
#: Those of the two CD-ROMs on it, among disks; others have theirs behind the last disk's.
LSI_CDROM_TARGETS = (6, 5)

# The slots below QEMU_DEFAULT_PCI_RESERVATIONS are for what QEMU places by itself.
_SCSI_TARGETS = constants.MAX_DISKS

_NIC = constants.HOTPLUG_TARGET_NIC
_DISK = constants.HOTPLUG_TARGET_DISK

_PARAVIRTUAL_DRIVER: Mapping[str, tuple[str, str]] = {
    _NIC: (constants.HT_NIC_PARAVIRTUAL, "virtio-net-pci"),
    _DISK: (constants.HT_DISK_PARAVIRTUAL, "virtio-blk-pci"),
}


def _driver_of(dev_type: str) -> Callable[[str], str]:
    paravirtual, driver = _PARAVIRTUAL_DRIVER[dev_type]
    return lambda model: driver if model == paravirtual else model


DEVICE_TYPE: Mapping[str, Callable[[Mapping[str, object]], str]] = {
    _NIC: lambda hvp: str(hvp[constants.HV_NIC_TYPE]),
    _DISK: lambda hvp: str(hvp[constants.HV_DISK_TYPE]),
}
"""Kind of device -> what the hypervisor parameters say about its model."""

DEVICE_DRIVER: Mapping[str, Callable[[str], str]] = {
    kind: _driver_of(kind) for kind in _PARAVIRTUAL_DRIVER
}
"""Kind of device -> QEMU's driver for a model."""

DEVICE_BUS: Mapping[str, Callable[[str], str]] = {
    _NIC: lambda _model: PCI_BUS,
    _DISK: lambda model: SCSI_BUS if model in constants.HT_SCSI_DEVICE_TYPES else PCI_BUS,
}
"""Kind of device -> the bus for a model; each device takes one slot."""

HOTPLUGGABLE_DEVICE_TYPES: Mapping[str, Sequence[str]] = {
    _NIC: sorted(constants.HT_KVM_VALID_NIC_TYPES - {constants.HT_NIC_NE2K_ISA}),
    _DISK: sorted({constants.HT_DISK_PARAVIRTUAL} | constants.HT_SCSI_DEVICE_TYPES),
}
"""Kind of device -> the models that can come and go while the guest runs."""

# Kind of device -> its list in a runtime (command, NICs, parameters, disks).
_RUNTIME_INDEX: Mapping[str, int] = {_NIC: 1, _DISK: 3}


def _device_of(dev_type: str, entry: Any) -> Any:
    """The device in a runtime's entry; a disk's is (disk, link, uri)."""
    return entry[0] if dev_type == _DISK else entry


def check_kind(dev_type: object) -> None:
    """Look whether devices of this kind are known.

    Raises:
        errors.HotplugError: they are not: a newer Ganeti may have more than disks and NICs.
    """
    if dev_type not in DEVICE_TYPE:
        raise errors.HotplugError(
            f"{dev_type!r} is none of the kinds of devices that can come and go"
            f" ({', '.join(sorted(DEVICE_TYPE))}); nothing was done"
        )


def device_id(dev_type: str, dev: objects.Disk | objects.NIC) -> str:
    """QEMU's id of a disk or NIC: the kind and the first three groups of the uuid.

    A whole uuid would be longer than the ids that old QEMU takes.
    """
    check_kind(dev_type)
    return f"{dev_type.lower()}-{dev.uuid.rsplit('-', 2)[0]}"


def _take_slot(slots: bitarray, bus: str, kvm_devid: str) -> int:
    try:
        return int(utils.GetFreeSlot(slots, reserve=True))
    except errors.GenericError as err:
        raise errors.HypervisorError(
            f"no place for {kvm_devid} on bus {bus}: all {len(slots)} slots are taken or reserved"
        ) from err


def device_info(
    dev_type: str, kvm_devid: str, hv_dev_type: str, slots_of: Mapping[str, bitarray] | Allocation
) -> HvInfo:
    """Places a device on its bus and returns its hvinfo.

    ``slots_of`` is what ``bus_slots`` gives, in which the device's slot is marked; or, as in
    upstream's development version, the place itself (``bus_manager.BusAllocation``).

    Raises HypervisorError if the bus is full.
    """
    check_kind(dev_type)
    hvinfo: HvInfo = {"driver": DEVICE_DRIVER[dev_type](hv_dev_type), "id": kvm_devid}
    if hv_dev_type == constants.HT_NIC_NE2K_ISA:
        # An ISA card; QEMU refuses to start with it on the PCI bus.
        return hvinfo
    if isinstance(slots_of, Allocation):
        return hvinfo | slots_of.to_kvm_info()
    bus = DEVICE_BUS[dev_type](hv_dev_type)
    slot = _take_slot(slots_of[bus], bus, kvm_devid)
    hvinfo["bus"] = bus
    if bus == SCSI_BUS:
        return hvinfo | {"channel": 0, "scsi-id": slot, "lun": 0}
    return hvinfo | {"addr": hex(slot)}


def device_string(hvinfo: Mapping[str, object]) -> str:
    """The hvinfo as the argument of -device: the driver, then its properties."""
    return Device(hvinfo).as_argument()


def find_in_runtime(
    dev_type: str, device: objects.Disk | objects.NIC, runtime: Sequence[Any]
) -> Any:
    """The runtime's entry of a device, found by uuid: the NIC, or (disk, link, uri).

    Raises HotplugError if the running guest was not given this device.
    """
    check_kind(dev_type)
    for entry in runtime[_RUNTIME_INDEX[dev_type]]:
        if _device_of(dev_type, entry).uuid == device.uuid:
            return entry
    raise errors.HotplugError(
        f"the running instance has no {dev_type.lower()} {device.uuid} in its runtime file"
    )


def _occupy(slots_of: Mapping[str, bitarray], hvinfo: Mapping[str, object]) -> None:
    bus = str(hvinfo.get("bus", ""))
    if bus not in slots_of:
        return
    slot = (
        int(hvparams.text(hvinfo, "addr"), 16)
        if bus == PCI_BUS
        else hvparams.number(hvinfo, "scsi-id")
    )
    if slot < len(slots_of[bus]):
        slots_of[bus][slot] = True


def _bits(length: int, taken: int) -> bitarray:
    slots = bitarray(length)
    slots.setall(False)
    slots[:taken] = True
    return slots


def reserved_slots(hvp: Mapping[str, object]) -> int:
    """How many of the first PCI slots are never given away."""
    if constants.HV_KVM_PCI_RESERVATIONS in hvp:
        return hvparams.number(hvp, constants.HV_KVM_PCI_RESERVATIONS)
    return int(constants.QEMU_DEFAULT_PCI_RESERVATIONS)


def bus_slots(
    hvp: Mapping[str, object] | None = None, runtime: Sequence[Any] | None = None
) -> dict[str, bitarray]:
    """The slots of the PCI and the SCSI bus, a set bit for each that is reserved or taken.

    ``hvp`` may say how many PCI slots are reserved; ``runtime`` holds the devices of a guest that
    runs.
    """
    reserved = reserved_slots(hvp or {})
    slots_of = {
        PCI_BUS: _bits(constants.QEMU_PCI_SLOTS, reserved),
        SCSI_BUS: _bits(_SCSI_TARGETS, 0),
    }
    if runtime:
        for dev_type, index in _RUNTIME_INDEX.items():
            for entry in runtime[index]:
                _occupy(slots_of, _device_of(dev_type, entry).hvinfo or {})
    return slots_of


def drive_uri(disk: objects.Disk, link: str, uri: str | None) -> str:
    """What QEMU opens for a disk: the URI if it reaches the storage itself, else the link."""
    return uri if uri and is_userspace(disk) else link


def is_userspace(disk: objects.Disk) -> bool:
    """Whether QEMU reaches a disk's storage by itself, over the network."""
    access = disk.params.get(constants.LDP_ACCESS, constants.DISK_KERNELSPACE)
    return bool(access == constants.DISK_USERSPACE)


# The original's names; Ganeti's tests and site code use them.
_DEVICE_TYPE = DEVICE_TYPE
_DEVICE_DRIVER = DEVICE_DRIVER
_DEVICE_BUS = DEVICE_BUS
_DEVICE_RUNTIME_INDEX = _RUNTIME_INDEX
_HOTPLUGGABLE_DEVICE_TYPES = HOTPLUGGABLE_DEVICE_TYPES
_PCI_BUS = PCI_BUS
_SCSI_BUS = SCSI_BUS
_GenerateDeviceKVMId = device_id
_GenerateDeviceHVInfo = device_info
_GenerateDeviceHVInfoStr = device_string
_GetExistingDeviceInfo = find_in_runtime
_GetDriveURI = drive_uri
