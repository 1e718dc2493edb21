"""Devices, which the guest sees, and descriptors, which it does not.

The guest has the last word on a device that is to go: it is asked to release it (``device_del``),
and may do so at once, later or never. Only when it has (the event DEVICE_DELETED) may go what is
behind the device; without it, a disk would be torn from under a file system.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from ganeti import constants, errors, utils

from ganeti_hv_kvm import _native
from ganeti_hv_kvm.hv_kvm.ganeti import settings
from ganeti_hv_kvm.hv_kvm.ganeti.generation import bitarray
from ganeti_hv_kvm.qmp_values import forms

from . import control

if TYPE_CHECKING:
    from ganeti_hv_kvm._native import QmpConnection
    from ganeti_hv_kvm.qmp_values.replies import PciBus, PciDevice

#: Where QEMU keeps devices that were given an id.
PERIPHERAL = "/machine/peripheral"

#: What a QEMU must know to be given a disk, or a NIC, while its guest runs.
DISK_NEEDS = ("add-fd", "blockdev-add", "device_add")
NIC_NEEDS = ("getfd", "netdev_add", "device_add")

_QUERY_PCI = "query-pci"
_MOST_FDSETS = (1 << 63) - 1


def check_commands(qmp: QmpConnection, what: str, commands: Sequence[str]) -> None:
    """Look whether QEMU knows commands.

    Args:
        what: what they are needed for: the device that is to be added.

    Raises:
        errors.HotplugError: it lacks some.
    """
    missing = sorted(set(commands) - control.known_commands(qmp))
    if missing:
        raise errors.HotplugError(
            f"this QEMU cannot be given a {what} while it runs: it lacks {', '.join(missing)}"
        )


# Looking


def device_ids(qmp: QmpConnection) -> frozenset[str]:
    """Give the ids of all devices that have one, on whatever bus."""
    children = control.qom_list(qmp, PERIPHERAL)
    return frozenset(child["name"] for child in children if child["type"].startswith("child<"))


def has_device(qmp: QmpConnection, devid: str) -> bool:
    """Tell whether QEMU has a device with this id, on whatever bus."""
    return devid in device_ids(qmp)


def query_pci(qmp: QmpConnection) -> list[PciBus]:
    """Ask for the PCI buses with their devices."""
    answer = forms.objects(_QUERY_PCI, qmp.execute_qmp(_QUERY_PCI))
    for bus in answer:
        for device in _checked_pci_devices(bus):
            bridge = forms.an_object(_QUERY_PCI, device.get("pci_bridge", {}))
            if "devices" in bridge and _checked_pci_devices(bridge):
                forms.a_text(_QUERY_PCI, device.get("qdev_id"))
    return cast("list[PciBus]", answer)


def _checked_pci_devices(bus: dict[str, object]) -> list[dict[str, object]]:
    found = forms.objects(_QUERY_PCI, bus.get("devices"))
    for device in found:
        forms.a_number(_QUERY_PCI, device.get("slot"), constants.QEMU_PCI_SLOTS - 1)
    return found


def devices_of_first_pci_bus(qmp: QmpConnection) -> list[PciDevice]:
    """Give QEMU's description of each device on the first PCI bus."""
    buses = query_pci(qmp)
    forms.an_object(_QUERY_PCI, buses[0] if buses else None)
    return buses[0]["devices"]


def first_free_pci_slot(qmp: QmpConnection) -> int:
    """Give the number of the first free slot of the first PCI bus."""
    slots = bitarray(constants.QEMU_PCI_SLOTS)
    slots.setall(False)
    for device in devices_of_first_pci_bus(qmp):
        slots[device["slot"]] = True
    return int(utils.GetFreeSlot(slots))


# Coming and going


def device_add(qmp: QmpConnection, properties: Mapping[str, object]) -> None:
    """Give the guest a device."""
    qmp.execute_qmp("device_add", properties)


def release_device(qmp: QmpConnection, devid: str, timeout: float | None = None) -> None:
    """Ask the guest to let go of a device, and wait until it has; none is fine as well.

    Args:
        timeout: seconds for the guest; None for `unplug_timeout`.

    Raises:
        errors.HotplugError: the guest refused, or was silent. It has the device as before; one
            that was silent may still release it.
    """
    seconds = settings.UNPLUG.value() if timeout is None else timeout
    outcome, why = _native.release_device(qmp, devid, seconds)
    logging.debug("QMP device_del %s: %s", devid, why or outcome)
    if outcome == "not asked":
        raise errors.HotplugError(
            f"QEMU does not ask the guest to release {devid}: {why}. Nothing was removed"
        )
    if outcome == "silent":
        raise errors.HotplugError(
            f"the guest did not release {devid} within {seconds:g} s. Nothing was removed;"
            " it may still do so, and the removal can be tried again"
        )
    if outcome == "refused":
        raise errors.HotplugError(
            f"the guest refuses to release {devid}. Nothing was removed; once nothing in"
            " the guest uses it, the removal can be tried again"
        )


# Descriptors


def getfd(qmp: QmpConnection, fd: int, fdname: str) -> None:
    """Hand a descriptor to QEMU under a name; QEMU gets a duplicate."""
    qmp.execute_qmp("getfd", {"fdname": fdname}, fds=[fd])


def add_fd(qmp: QmpConnection, fd: int, opaque: str | None = None) -> int:
    """Hand a descriptor to QEMU for opening as ``/dev/fdset/N``, and return N.

    Args:
        opaque: a text by which it is found again.
    """
    arguments = None if opaque is None else {"opaque": opaque}
    command = "add-fd"
    answer = forms.an_object(command, qmp.execute_qmp(command, arguments, fds=[fd]))
    return forms.a_number(command, answer.get("fdset-id"), _MOST_FDSETS)


def remove_fd(qmp: QmpConnection, fdset: int) -> None:
    """Let QEMU close its descriptor; whoever opened it has a duplicate and keeps that."""
    qmp.execute_qmp("remove-fd", {"fdset-id": fdset})


def add_file(qmp: QmpConnection, path: str, devid: str, direct: bool) -> int:
    """Open a file for reading and writing, and hand it to QEMU as ``add_fd`` does."""
    # QEMU 9.1 and later refuse a descriptor whose O_DIRECT is not as the node's cache mode says
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_DIRECT if direct else 0))
    try:
        return add_fd(qmp, fd, devid)
    finally:
        os.close(fd)
