"""Brings the runtime file of a guest that an older Ganeti started up to date.

A guest may run for years, and its runtime file stays as it was written at its start. Each change
of the format is one function here; it stands for itself, finds nothing to do in a file that has
the change already, and may run before or after any other.

A runtime is a list: the command, the NICs, the hypervisor parameters, the disks; NICs are dicts,
disks [dict, link, URI or None]. It is changed in place.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ganeti import constants, utils

from ganeti_hv_kvm import json_shapes as shapes
from ganeti_hv_kvm.hv_kvm.devices import places as devices
from ganeti_hv_kvm.hv_kvm.ganeti import boot_type, generation
from ganeti_hv_kvm.hv_kvm.ganeti import hvparams as hvparams_by_type

from . import ide

_COMMAND, _NICS, _HVPARAMS, _DISKS = range(4)

_VNC_TLS_ID = "vnctls0"

Runtime = list[object]


def _nics(runtime: Runtime) -> list[dict[str, object]]:
    return shapes.entries(runtime[_NICS])


def _command(runtime: Runtime) -> list[object]:
    return shapes.items(runtime[_COMMAND])


def _hvparams(runtime: Runtime) -> dict[str, object]:
    return shapes.members(runtime[_HVPARAMS])


def _disks(runtime: Runtime) -> list[dict[str, object]]:
    """The disks that the guest sees: its firmware has no place among them."""
    entries = shapes.items(runtime[_DISKS]) if len(runtime) > _DISKS else []
    disks = [shapes.members(shapes.items(entry)[0]) for entry in entries]
    return [disk for disk in disks if not boot_type.is_firmware_entry(disk)]


def _replace_option(
    command: list[object], option: str, replace: Callable[[str], list[str]]
) -> None:
    """Put ``replace(value)``, a list of arguments, in place of each ``option value``."""
    place = 0
    while place < len(command) - 1:
        if command[place] != option:
            place += 1
            continue
        replacement = replace(str(command[place + 1]))
        command[place : place + 2] = replacement
        # What was put in is not looked at again: it may hold the same option.
        place += len(replacement)


def add_disks(runtime: Runtime) -> None:
    """Files had three elements, until disks could be hot-plugged."""
    if len(runtime) == _DISKS:
        runtime.append([])


def add_nic_uuids(runtime: Runtime) -> None:
    """NICs had no UUID before Ganeti 2.8."""
    for nic in _nics(runtime):
        _ensure_uuid(nic)


def _ensure_uuid(device: dict[str, object]) -> str:
    if "uuid" not in device:
        device["uuid"] = utils.NewUUID()
    return str(device["uuid"])


def replace_pci_slots(runtime: Runtime) -> None:
    """Before Ganeti 2.16 a device had at most a PCI slot; now its ``hvinfo`` says where it is.

    A device without a slot was none of the paravirtual ones: QEMU placed it, and nothing is known.
    """
    for kind, found in (
        (constants.HOTPLUG_TARGET_NIC, _nics(runtime)),
        (constants.HOTPLUG_TARGET_DISK, _disks(runtime)),
    ):
        for device in found:
            if "hvinfo" not in device:
                device["hvinfo"] = _hvinfo_of_old(kind, device, _hvparams(runtime))


def _hvinfo_of_old(
    kind: str, device: dict[str, object], hvparams: dict[str, object]
) -> dict[str, object]:
    if "pci" not in device:
        return {}
    slot = hvparams_by_type.number(device, "pci")
    del device["pci"]
    group, _, _ = _ensure_uuid(device).partition("-")
    return {
        "driver": devices.DEVICE_DRIVER[kind](devices.DEVICE_TYPE[kind](hvparams)),
        # The id under which the old Ganeti made QEMU know the device, hot-plugged or not.
        "id": f"hot{kind.lower()}-{group}-pci-{slot}",
        "addr": hex(slot),
        "bus": devices.PCI_BUS,
    }


def replace_localtime(runtime: Runtime) -> None:
    """``-localtime`` is gone since QEMU 3.1."""
    command = _command(runtime)
    while "-localtime" in command:
        place = command.index("-localtime")
        command[place : place + 1] = ["-rtc", "base=localtime"]


def replace_balloon(runtime: Runtime) -> None:
    """``-balloon virtio,...`` is gone since QEMU 4.0; ``-balloon none`` meant no device."""

    def device(value: str) -> list[str]:
        kind, comma, properties = value.partition(",")
        return [] if kind == "none" else ["-device", f"virtio-balloon{comma}{properties}"]

    _replace_option(_command(runtime), "-balloon", device)


def replace_vnc_tls(runtime: Runtime) -> None:
    """TLS for VNC: properties of ``-vnc`` until QEMU 2.5, since then an object of its own."""
    _replace_option(_command(runtime), "-vnc", _vnc_with_tls_object)


def _vnc_with_tls_object(value: str) -> list[str]:
    driver, properties = "", [f"id={_VNC_TLS_ID}", "endpoint=server"]
    credentials = f"tls-creds={_VNC_TLS_ID}"
    kept: list[str] = []
    for word in value.split(","):
        name, _, path = word.partition("=")
        if name in ("x509", "x509verify"):
            driver = "tls-creds-x509"
            verify = "yes" if name == "x509verify" else "no"
            properties += [f"dir={path}", f"verify-peer={verify}"]
        elif word == "tls":
            driver = driver or "tls-creds-anon"
            kept.append(credentials)
        else:
            kept.append(word)
    if not driver:
        return ["-vnc", value]
    if credentials not in kept:
        # Certificates alone must not leave the display in the clear.
        kept.append(credentials)
    return ["-object", ",".join([driver, *properties]), "-vnc", ",".join(kept)]


def drop_stored_chroot(runtime: Runtime) -> None:
    """Up to 3.0 the stored command held ``-chroot``; later Ganetis add the chroot at each start.

    With both, a reboot or a migration after the upgrade fails, for QEMU 9 knows no ``-chroot``.
    """
    if not generation.DIALECT.chroot_is_stored:
        _replace_option(_command(runtime), "-chroot", lambda _: [])


def replace_discard_default(runtime: Runtime) -> None:
    """``disk_discard`` lost its value "default" with Ganeti 3.1; it meant to ignore discards."""
    hvparams = _hvparams(runtime)
    if generation.DISCARD_DEFAULT is not None or constants.HV_DISK_DISCARD not in hvparams:
        return
    if hvparams[constants.HV_DISK_DISCARD] not in constants.HT_VALID_DISCARD_TYPES:
        hvparams[constants.HV_DISK_DISCARD] = constants.HT_DISCARD_IGNORE


def keep_without_iothreads(runtime: Runtime) -> None:
    """A guest that was started before Ganeti had virtio_disk_iothreads goes on without any."""
    name = getattr(constants, "HV_VIRTIO_DISK_IOTHREADS", None)
    if name is not None:
        _hvparams(runtime).setdefault(name, 0)


def keep_boot_type(runtime: Runtime) -> None:
    """A guest that was started before Ganeti had boot_type boots again as it did."""
    if boot_type.PARAMETER:
        hvparams = _hvparams(runtime)
        hvparams.setdefault(boot_type.PARAMETER, boot_type.implied(hvparams))


def place_ide_disks(runtime: Runtime, born: str | None = None) -> None:
    """IDE disks had no place of their own; now each keeps the one it was born with.

    Args:
        born: whose words started the guest (``ide.DRIVE``, ``ide.BLOCKDEV``), where its QEMU tells
            it. Where nobody knows, nothing is changed.
    """
    hvparams, command = _hvparams(runtime), _command(runtime)
    disks = _disks(runtime)
    if (
        not generation.HAS_BLOCKDEV
        or hvparams.get(constants.HV_DISK_TYPE) != constants.HT_DISK_IDE
        or all(ide.is_placed(_hvinfo(disk)) for disk in disks)
    ):
        return
    words = [str(word) for word in command]
    born = born or ide.origin(words, hvparams)
    if born is None:
        return
    try:
        places, more = ide.old_places(words, len(disks), born)
    except ValueError as err:
        logging.warning("Nobody knows where the IDE disks of %s are: %s", words[:3], err)
        return
    command += more
    for disk, place in zip(disks, places, strict=True):
        own = _hvinfo(disk) or {"id": _disk_id(disk)}
        disk["hvinfo"] = ide.hvinfo(own, place)


def _hvinfo(disk: dict[str, object]) -> dict[str, object] | None:
    found = disk.get("hvinfo")
    return shapes.members(found) if found else None


def _disk_id(disk: dict[str, object]) -> str:
    uuid = _ensure_uuid(disk).rsplit("-", 2)[0]
    return f"{constants.HOTPLUG_TARGET_DISK.lower()}-{uuid}"


CHANGES = (
    add_disks,
    add_nic_uuids,
    replace_pci_slots,
    replace_localtime,
    replace_balloon,
    replace_vnc_tls,
    drop_stored_chroot,
    replace_discard_default,
    keep_without_iothreads,
    keep_boot_type,
)


def upgrade(runtime: Runtime) -> Runtime:
    """Apply every change, and give the same list."""
    # First: the others take away by what a guest of 3.0 is known.
    place_ide_disks(runtime)
    for change in CHANGES:
        change(runtime)
    return runtime
