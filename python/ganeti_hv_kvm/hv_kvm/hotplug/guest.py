"""The running guest that a hot-plug operation works on, and what the hypervisor object lends."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ganeti import constants, errors, objects

from ganeti_hv_kvm.hv_kvm import devices, qemu_binary
from ganeti_hv_kvm.hv_kvm.devices import DEVICE_TYPE, HOTPLUGGABLE_DEVICE_TYPES
from ganeti_hv_kvm.hv_kvm.guest.unfit_values import UNFIT, why
from ganeti_hv_kvm.hv_kvm.instance_files import InstanceFiles
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime
from ganeti_hv_kvm.hv_kvm.nics import OpenTapFunction
from ganeti_hv_kvm.hv_kvm.qemu_binary import QemuFacts

DISK = constants.HOTPLUG_TARGET_DISK
NIC = constants.HOTPLUG_TARGET_NIC

# Of these Linux hears neither that a disk came nor that it went.
_SILENT_CONTROLLERS = (constants.HT_SCSI_CONTROLLER_LSI, constants.HT_SCSI_CONTROLLER_MEGASAS)

#: (instance, number of the NIC, NIC, name of its TAP device)
NicFunction = Callable[[Any, int, Any, str], None]


class Hooks(NamedTuple):
    """What the hypervisor object lends, looked up at the time of the call.

    Attributes:
        load_runtime: reads the runtime file of an instance.
        save_runtime: writes it.
        deconfigure_nic: runs the node's script for a NIC that has gone; None where Ganeti has none.
    """

    open_tap: OpenTapFunction
    qmp_connection: Callable[[str], Any]
    configure_nic: NicFunction
    load_runtime: Callable[[Any], KVMRuntime]
    save_runtime: Callable[[Any, KVMRuntime], None]
    deconfigure_nic: NicFunction | None = None


class Guest(NamedTuple):
    """A running guest; ``instance`` is Ganeti's, its hvparams are those of today."""

    instance: Any
    files: InstanceFiles
    hooks: Hooks

    def monitor(self) -> Any:
        """A new connection to QEMU, to be used in a ``with``."""
        return self.hooks.qmp_connection(self.files.qmp)

    def load(self) -> KVMRuntime:
        """What the guest consists of, according to its runtime file."""
        return self.hooks.load_runtime(self.instance)

    def save(self, runtime: KVMRuntime) -> None:
        """Write the runtime file."""
        self.hooks.save_runtime(self.instance, runtime)

    def facts(self) -> QemuFacts:
        """What the QEMU binary can do."""
        return qemu_binary.probe(self.instance.hvparams[constants.HV_KVM_PATH])

    def hvp(self, runtime: KVMRuntime) -> dict[str, Any]:
        """Parameters as of the guest's first start; what is newer than it, as of today."""
        hvp: dict[str, Any] = objects.FillDict(self.instance.hvparams, runtime.up_hvp)
        return hvp

    @contextlib.contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Let every error be a ``HotplugError`` that names the instance and ``what`` failed."""
        try:
            yield
        except (errors.HypervisorError, OSError) as err:
            raise errors.HotplugError(f"Instance {self.instance.name}: {what}: {err}") from err
        except UNFIT as err:
            raise errors.HotplugError(
                f"Instance {self.instance.name}: {what}: something is of another form than it"
                f" should be, probably in {self.files.runtime}: {why(err)}"
            ) from err


def model_of(dev_type: str, hvp: dict[str, Any]) -> str:
    """The configured model of the guest's disks or NICs.

    Raises:
        errors.HotplugError: this model cannot come and go while the guest runs.
    """
    model = DEVICE_TYPE[dev_type](hvp)
    if model not in HOTPLUGGABLE_DEVICE_TYPES[dev_type]:
        raise errors.HotplugError(
            f"the guest was started with {dev_type.lower()}s of the type {model}, which cannot come"
            " or go while it runs"
        )
    return model


def tells_guest(dev_type: str, hvp: dict[str, Any]) -> bool:
    """Whether the guest hears of a device that comes or goes; on these controllers it does not."""
    on_scsi = dev_type == DISK and DEVICE_TYPE[DISK](hvp) in constants.HT_SCSI_DEVICE_TYPES
    return not on_scsi or hvp[constants.HV_KVM_SCSI_CONTROLLER_TYPE] not in _SILENT_CONTROLLERS


def check_guest_is_told(dev_type: str, hvp: dict[str, Any]) -> None:
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


def id_of(dev_type: str, device: Any) -> str:
    """The id of a device in QEMU: the one it was started with, which an old Ganeti chose."""
    hvinfo = device.hvinfo or {}
    return str(hvinfo.get("id") or devices.device_id(dev_type, device))


def entries(dev_type: str, runtime: KVMRuntime) -> list[Any]:
    """The runtime's list of disks, as (disk, link, uri), or of NICs; changes belong to it."""
    return runtime.kvm_disks if dev_type == DISK else runtime.kvm_nics


class Plug(NamedTuple):
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


def plugs(dev_type: str, runtime: KVMRuntime) -> list[Plug]:
    """The disks or NICs of a runtime, numbered as they stand there."""
    return [
        Plug(dev_type, entry[0], seq, tuple(entry[1:]))
        if dev_type == DISK
        else Plug(dev_type, entry, seq)
        for seq, entry in enumerate(entries(dev_type, runtime))
    ]


def hvinfos(runtime: KVMRuntime) -> list[dict[str, Any]]:
    """Where the disks and NICs of a runtime sit."""
    found = (*plugs(DISK, runtime), *plugs(NIC, runtime))
    return [plug.device.hvinfo for plug in found if plug.device.hvinfo]


def has(plug: Plug, runtime: KVMRuntime) -> bool:
    """Tell whether the guest was given this device, according to its runtime."""
    return any(known.device.uuid == plug.device.uuid for known in plugs(plug.dev_type, runtime))


def find(plug: Plug, runtime: KVMRuntime) -> Plug:
    """What the runtime knows of a device, found by its uuid; its number stays the given one.

    Raises:
        errors.HotplugError: the guest was not given this device.
    """
    devices.find_in_runtime(plug.dev_type, plug.device, runtime.data)
    (known,) = (
        known for known in plugs(plug.dev_type, runtime) if known.device.uuid == plug.device.uuid
    )
    return known._replace(seq=plug.seq)


def forget(plug: Plug, runtime: KVMRuntime) -> None:
    """Drop a device from the runtime."""
    kept = entries(plug.dev_type, runtime)
    kept[:] = [
        entry
        for known, entry in zip(plugs(plug.dev_type, runtime), kept, strict=True)
        if known.device.uuid != plug.device.uuid
    ]
