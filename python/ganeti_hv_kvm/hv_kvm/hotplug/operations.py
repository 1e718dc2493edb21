"""Adding, removing, changing and resizing a device.

Each operation either succeeds or leaves the guest, QEMU and the node as they were; where that
cannot be had, its error says what is left, and the same call again takes it from there. Nothing
that happened before, here or in another module, is relied on: each begins by looking.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

from ganeti import errors

from ganeti_hv_kvm.errors import QmpLostError, QmpTimeoutError
from ganeti_hv_kvm.hv_kvm import bus_manager
from ganeti_hv_kvm.hv_kvm.command_line import iothreads, named_places, vcpus_of
from ganeti_hv_kvm.hv_kvm.devices import q35
from ganeti_hv_kvm.hv_kvm.ganeti import guest_options
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.guest.undo import Undo
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime
from ganeti_hv_kvm.hv_kvm.qemu.verbs import devices, disks, nics

from . import disk, limits, memory, nic, vcpus
from .device import (
    DISK,
    NIC,
    HotplugDevice,
    check_guest_is_told,
    check_is_no_firmware,
    check_is_not_to_be_firmware,
    doing,
    entries,
    find,
    has,
    hvinfos,
    model_of,
    tells_guest,
)
from .reconcile import finish
from .reconcile import reconcile as _reconcile

if TYPE_CHECKING:
    from ganeti import objects

#: What a guest can get more of.
VCPUS, MEMORY = "vcpus", "memory"


def reconcile(guest: Guest) -> KVMRuntime:
    """Bring the runtime file up to date with what QEMU has, and give its content.

    To be called before anything that trusts the file: a migration, a reboot, a hot-plug.

    Raises:
        errors.HotplugError: QEMU does not tell what it has, or the file cannot be written.
    """
    with doing(guest, "comparing its runtime file with QEMU"):
        runtime = guest.load()
        _reconcile(guest, runtime)
        return runtime


def add(guest: Guest, dev_type: str, device: Any, extra: object, seq: int) -> None:
    """Give the guest a disk or a NIC.

    Args:
        dev_type: ``constants.HOTPLUG_TARGET_DISK`` or ``HOTPLUG_TARGET_NIC``.
        device: Ganeti's ``objects.Disk`` or ``objects.NIC``; its ``hvinfo`` says where it is to
            sit, or is empty and is then filled.
        extra: of a disk: (link, URI or None).
        seq: its number among its kind, as Ganeti counts them.

    Raises:
        errors.HotplugError: which step failed, and what could not be undone.
    """
    dev = HotplugDevice(dev_type, device, seq, extra)
    with doing(guest, f"adding {dev}"):
        runtime = guest.load()
        check_is_no_firmware(dev, runtime)
        check_is_not_to_be_firmware(
            dev, guest_options.parse(guest_options.tags_of(guest.instance))[0]
        )
        _reconcile(guest, runtime)
        if has(dev, runtime):
            raise errors.HotplugError("the guest has it already; nothing was changed")
        given = device.hvinfo
        try:
            _add(guest, runtime, dev)
        except BaseException:
            # the next attempt may find another place free
            device.hvinfo = given
            raise


def _add(guest: Guest, runtime: KVMRuntime, dev: HotplugDevice) -> None:
    model = model_of(dev.dev_type, guest.hvp(runtime))
    _clear_remains(guest, dev)
    if not dev.device.hvinfo:
        dev.device.hvinfo = _place(guest, runtime, dev, model) | _threads(guest, runtime, dev)
        if dev.dev_type == NIC:
            dev.device.hvinfo |= nic.mtu_at_birth(guest, dev)
    with contextlib.ExitStack() as stack:
        ready = None
        if dev.dev_type == NIC:
            ready = stack.enter_context(nic.prepared(guest, runtime, dev))
        plug_in(guest, runtime, dev, ready)


def plug_in(
    guest: Guest, runtime: KVMRuntime, dev: HotplugDevice, ready: nic.Prepared | None
) -> None:
    """Give the guest a device whose place is known, and note it in the runtime file.

    Args:
        ready: the TAP device of a NIC; None for a disk.
    """
    with Undo(f"adding {dev.devid} to {guest.name}") as undo:
        if ready is None:
            disk.add(guest, runtime, dev, undo)
        else:
            nic.add(guest, dev, ready, undo)
        verify_device(guest, dev.devid, should_exist=True)
        if dev.dev_type == DISK:
            limits.of_new(guest, dev)
            if not iothreads.PARAMETER:
                # those of a tag are nothing that another module could be told
                dev.device.hvinfo = iothreads.without_threads(dev.device.hvinfo)
        if not tells_guest(dev.dev_type, guest.hvp(runtime)):
            logging.warning(
                "%s has %s, but its SCSI controller tells it nothing: it sees the disk after a"
                " rescan of its SCSI bus, or a reboot",
                guest.name,
                dev.devid,
            )
        # As Ganeti counts them: the first disk is the one that a restart boots from.
        entries(dev.dev_type, runtime).insert(dev.seq, dev.entry)
        guest.save(runtime)
    if dev.dev_type == DISK:
        limits.after_change(guest, runtime)


def _threads(guest: Guest, runtime: KVMRuntime, dev: HotplugDevice) -> dict[str, object]:
    """What serves a new disk beside QEMU's main loop, where the guest's other disks have that."""
    hvp = guest.hvp(runtime)
    wanted = hvp.get(iothreads.PARAMETER) if iothreads.PARAMETER else True
    if dev.dev_type != DISK or not wanted:
        return {}
    with guest.monitor() as qmp:
        number = iothreads.count_in_qemu(disks.query_iothreads(qmp))
    if iothreads.PARAMETER:
        return iothreads.disk_properties(hvp, number, vcpus_of(runtime.kvm_cmd))
    return iothreads.tag_properties(hvp, number)


def _clear_remains(guest: Guest, dev: HotplugDevice) -> None:
    """Remove what an attempt that could not be undone left in QEMU."""
    with guest.monitor() as qmp:
        if dev.dev_type == DISK:
            disks.remove(qmp, dev.devid)
        else:
            nics.remove(qmp, dev.devid)


def _place(guest: Guest, runtime: KVMRuntime, dev: HotplugDevice, model: str) -> dict[str, object]:
    """Find a place that is free by the runtime file and in QEMU."""
    taken = hvinfos(runtime) + named_places.of(runtime.kvm_cmd)
    with guest.monitor() as qmp:
        taken += bus_manager.places_in_qemu(devices.query_pci(qmp))
    manager = bus_manager.manager_for(
        guest.hvp(runtime), taken, root_ports=q35.has_root_ports(runtime.kvm_cmd)
    )
    return bus_manager.place(manager, dev.dev_type, dev.devid, model)


def grow(guest: Guest, dev_type: str, wanted: int) -> None:
    """Give the guest vCPUs or memory until it has ``wanted`` vCPUs, or MiB, in all.

    Args:
        dev_type: ``VCPUS`` or ``MEMORY``.

    Raises:
        errors.HotplugError: why it has not, and what was changed.
    """
    unit = "vCPUs" if dev_type == VCPUS else "MiB of memory"
    with doing(guest, f"growing to {wanted} {unit}"):
        runtime = guest.load()
        _reconcile(guest, runtime)
        (vcpus if dev_type == VCPUS else memory).grow(guest, runtime, wanted)


def remove(guest: Guest, dev_type: str, device: Any, seq: int) -> dict[str, object]:
    """Take a disk or a NIC from the guest, and return where it sat (its ``hvinfo``).

    Args:
        dev_type, device, seq: as for `add`; the device is found by its uuid.

    Raises:
        errors.HotplugError: the guest did not release it, and nothing was removed; or it did, and
            what is left on the host is named. Either way this can be called again. A device that
            the guest does not have was removed before.
    """
    wanted = HotplugDevice(dev_type, device, seq)
    with doing(guest, f"removing {wanted}"):
        runtime = guest.load()
        check_is_no_firmware(wanted, runtime)
        if not has(wanted, runtime):
            _reconcile(guest, runtime)
            return _remove_unknown(guest, runtime, wanted)
        dev = find(wanted, runtime)
        check_removable(guest, runtime, dev)
        _reconcile(guest, runtime, except_for=dev.devid)
        release(guest, dev.devid)
        try:
            finish(guest, runtime, dev)
            guest.save(runtime)
            if dev.dev_type == DISK:
                limits.after_change(guest, runtime)
        except (errors.HypervisorError, OSError) as err:
            raise errors.HotplugError(
                f"the guest has let go of {dev.devid}, but what belongs to it may be left in"
                f" QEMU, in {guest.files.runtime} and in {guest.files.nic_dir}; remove it once"
                f" more: {err}"
            ) from err
        hvinfo: dict[str, object] = dev.device.hvinfo
        return hvinfo


def _remove_unknown(guest: Guest, runtime: KVMRuntime, dev: HotplugDevice) -> dict[str, object]:
    """Make sure that the guest does not have a device of which its runtime file says nothing.

    It may have let go of it long after an earlier removal was given up, and another operation has
    noticed. What is left of it in QEMU goes as well.
    """
    model_of(dev.dev_type, guest.hvp(runtime))
    _clear_remains(guest, dev)
    logging.info("%s does not have %s, which was to be removed", guest.name, dev)
    return dict(dev.device.hvinfo or {})


def check_removable(guest: Guest, runtime: KVMRuntime, dev: HotplugDevice) -> None:
    """Raise ``errors.HotplugError`` for a device that cannot go while the guest runs."""
    model_of(dev.dev_type, guest.hvp(runtime))
    check_guest_is_told(dev.dev_type, guest.hvp(runtime))
    if "id" not in (dev.device.hvinfo or {}):
        raise errors.HotplugError(
            "the guest was started with it in a form that has no id, so QEMU cannot be told to"
            " remove it; nothing was changed"
        )


def release(guest: Guest, devid: str) -> None:
    """Have the guest let go of a device; returns when it has.

    A broken connection leaves open whether QEMU was asked; then it is asked once more.
    """
    try:
        with guest.monitor() as qmp:
            devices.release_device(qmp, devid)
    except (QmpTimeoutError, QmpLostError) as err:
        logging.warning("%s of %s is asked for again: %s", devid, guest.name, err)
        try:
            with guest.monitor() as qmp:
                devices.release_device(qmp, devid)
        except (QmpTimeoutError, QmpLostError) as again:
            raise errors.HotplugError(
                f"{again}. It is not known whether the guest was asked for {devid}; nothing was"
                " removed on the host, and the removal can be tried again"
            ) from again


def resize_disk(guest: Guest, device: objects.Disk, new_size: int) -> None:
    """Let the guest see that a disk has grown to ``new_size`` bytes.

    Raises:
        errors.HotplugError: why it does not see it.
    """
    with doing(guest, f"resizing disk {device.uuid} to {new_size} bytes"):
        wanted, runtime = HotplugDevice(DISK, device, 0), guest.load()
        check_is_no_firmware(wanted, runtime)
        dev = find(wanted, runtime)
        with guest.monitor() as qmp:
            disks.block_resize(qmp, dev.devid, new_size)


def verify_device(guest: Guest, devid: str, should_exist: bool) -> None:
    """Check that QEMU has, or does not have, a device.

    Raises:
        errors.HypervisorError: it is not as it should be.
    """
    with guest.monitor() as qmp:
        exists = devices.has_device(qmp, devid)
    if exists != should_exist:
        raise errors.HypervisorError(
            f"QEMU {'has' if exists else 'does not have'} the device {devid}, which it"
            f" {'should' if should_exist else 'should not'} have"
        )
