"""The disk or NIC that comes, goes or changes, and what a runtime file knows of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.devices import places
from ganeti_hv_kvm.hv_kvm.devices.places import DEVICE_TYPE, HOTPLUGGABLE_DEVICE_TYPES
from ganeti_hv_kvm.hv_kvm.ganeti import boot_type
from ganeti_hv_kvm.hv_kvm.ganeti.guest_options import Options
from ganeti_hv_kvm.hv_kvm.ganeti.unfit_values import UNFIT, why
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.host import firmware_seed
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime

if TYPE_CHECKING:
    from ganeti import objects


DISK = constants.HOTPLUG_TARGET_DISK
NIC = constants.HOTPLUG_TARGET_NIC

# Of these Linux hears neither that a disk came nor that it went.
_SILENT_CONTROLLERS = (constants.HT_SCSI_CONTROLLER_LSI, constants.HT_SCSI_CONTROLLER_MEGASAS)


@contextlib.contextmanager
def doing(guest: Guest, what: str) -> Iterator[None]:
    """Let every error be a ``HotplugError`` that names the instance and ``what`` failed."""
    try:
        yield
    except (errors.HypervisorError, OSError) as err:
        raise errors.HotplugError(f"Instance {guest.name}: {what}: {err}") from err
    except UNFIT as err:
        raise errors.HotplugError(
            f"Instance {guest.name}: {what}: something is of another form than it"
            f" should be, probably in {guest.files.runtime}: {why(err)}"
        ) from err


def model_of(dev_type: str, hvp: dict[str, object]) -> str:
    """The configured model of the guest's disks or NICs.

    Raises:
        errors.HotplugError: this model cannot come and go while the guest runs.
    """
    places.check_kind(dev_type)
    model = DEVICE_TYPE[dev_type](hvp)
    if model not in HOTPLUGGABLE_DEVICE_TYPES[dev_type]:
        raise errors.HotplugError(
            f"the guest was started with {dev_type.lower()}s of the type {model}, which cannot come"
            " or go while it runs"
        )
    return model


def tells_guest(dev_type: str, hvp: dict[str, object]) -> bool:
    """Whether the guest hears of a device that comes or goes; on these controllers it does not."""
    on_scsi = dev_type == DISK and DEVICE_TYPE[DISK](hvp) in constants.HT_SCSI_DEVICE_TYPES
    return not on_scsi or hvp[constants.HV_KVM_SCSI_CONTROLLER_TYPE] not in _SILENT_CONTROLLERS


def check_guest_is_told(dev_type: str, hvp: dict[str, object]) -> None:
    """Make sure that the guest would hear of it, if a device of this kind went.

    Linux kept the disk that it was not told about, and took the next one at the same target for
    it: what was written to the old disk went to the new one.

    Raises:
        errors.HotplugError: it would not.
    """
    if not tells_guest(dev_type, hvp):
        raise errors.HotplugError(
            f"the guest's SCSI controller ({hvp[constants.HV_KVM_SCSI_CONTROLLER_TYPE]}) tells it"
            " nothing when a disk goes, and it would take the next disk there for the old one."
            " Nothing was removed; shut the instance down, and remove the disk then"
        )


def id_of(dev_type: str, device: objects.Disk | objects.NIC) -> str:
    """The id of a device in QEMU: the one it was started with, which an old Ganeti chose."""
    hvinfo = device.hvinfo or {}
    return str(hvinfo.get("id") or places.device_id(dev_type, device))


def entries(dev_type: str, runtime: KVMRuntime) -> list[Any]:
    """The runtime's list of disks, as (disk, link, uri), or of NICs; changes belong to it."""
    return runtime.kvm_disks if dev_type == DISK else runtime.kvm_nics


class HotplugDevice(NamedTuple):
    """A disk or a NIC.

    Attributes:
        dev_type: `DISK` or `NIC`.
        device: Ganeti's ``objects.Disk`` or ``objects.NIC``.
        seq: its number among its kind, as Ganeti counts them.
        extra: of a disk: (link, URI or None).
    """

    dev_type: str
    device: Any
    seq: int
    extra: Any = None

    @property
    def devid(self) -> str:
        """Its id in QEMU."""
        return id_of(self.dev_type, self.device)

    @property
    def entry(self) -> Any:
        """How a runtime file holds it."""
        return (self.device, *self.extra) if self.dev_type == DISK else self.device

    def __str__(self) -> str:
        return f"{self.dev_type.lower()} {self.device.uuid}"


def devices_in(dev_type: str, runtime: KVMRuntime) -> list[HotplugDevice]:
    """The disks or NICs that the guest sees, numbered as they stand in its runtime."""
    if dev_type == DISK:
        return [
            HotplugDevice(DISK, entry[0], seq, tuple(entry[1:]))
            for seq, entry in boot_type.numbered_data_disks(runtime.kvm_disks)
        ]
    return [HotplugDevice(dev_type, entry, seq) for seq, entry in enumerate(runtime.kvm_nics)]


def hvinfos(runtime: KVMRuntime) -> list[Mapping[str, object]]:
    """Where the disks and NICs of a runtime sit."""
    found = (*devices_in(DISK, runtime), *devices_in(NIC, runtime))
    return [dev.device.hvinfo for dev in found if dev.device.hvinfo]


def has(dev: HotplugDevice, runtime: KVMRuntime) -> bool:
    """Tell whether the guest was given this device, according to its runtime."""
    return any(known.device.uuid == dev.device.uuid for known in devices_in(dev.dev_type, runtime))


def check_is_no_firmware(dev: HotplugDevice, runtime: KVMRuntime) -> None:
    """Make sure that a device is not the disk with the guest's firmware.

    Raises:
        errors.HotplugError: it is.
    """
    if dev.dev_type != DISK:
        return
    known = (disk for disk, *_ in runtime.kvm_disks if disk.uuid == dev.device.uuid)
    if any(map(boot_type.is_firmware, (dev.device, *known))):
        raise errors.HotplugError(
            "it holds the guest's UEFI firmware: that neither comes nor goes nor changes its size"
            " while the guest runs. Nothing was changed"
        )


def check_is_not_to_be_firmware(dev: HotplugDevice, options: Options) -> None:
    """Make sure that a new disk is not the one that a guest asks for by tag, for its next start.

    Raises:
        errors.HotplugError: it is.
    """
    named = getattr(dev.device, "name", None) == firmware_seed.NAME
    if dev.dev_type == DISK and named and options.asks_for_uefi:
        raise errors.HotplugError(
            f"it is to hold the guest's UEFI firmware (its name is {firmware_seed.NAME}, and there"
            " is a tag), after the next shutdown and start: the guest that runs was not given it"
        )


def find(dev: HotplugDevice, runtime: KVMRuntime) -> HotplugDevice:
    """What the runtime knows of a device, found by its uuid; its number stays the given one.

    Raises:
        errors.HotplugError: the guest was not given this device.
    """
    places.find_in_runtime(dev.dev_type, dev.device, runtime.data)
    (known,) = (
        known for known in devices_in(dev.dev_type, runtime) if known.device.uuid == dev.device.uuid
    )
    return known._replace(seq=dev.seq)


def forget(dev: HotplugDevice, runtime: KVMRuntime) -> None:
    """Drop a device from the runtime."""
    kept = entries(dev.dev_type, runtime)
    kept[:] = [
        entry
        for entry in kept
        if (entry[0] if dev.dev_type == DISK else entry).uuid != dev.device.uuid
    ]
