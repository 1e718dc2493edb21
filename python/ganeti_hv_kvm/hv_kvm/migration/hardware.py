"""The guest's PCI devices on the source and in the QEMU that waits for it: they must be the same.

QEMU itself finds a difference only while the guest's state is being loaded, when all of its memory
has been sent, and then says it by the number of a section.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ganeti import errors

from ganeti_hv_kvm.hv_kvm.qemu.verbs import devices

if TYPE_CHECKING:
    from ganeti_hv_kvm.hv_kvm.monitor import QmpConnection

#: On one bus there are 32 slots with eight functions each.
_MOST = 256
_LONGEST = 100
_PLACE = re.compile(r"[0-9a-f]{2}\.[0-7]")

Hardware = Mapping[str, str]
"""Slot and function, such as "0d.0" -> vendor and device number, and QEMU's id if it has one."""


def ask(qmp: QmpConnection) -> dict[str, str]:
    """Ask a connected QEMU for the devices on the guest's first PCI bus.

    Raises:
        errors.HypervisorError: it does not tell, or in another form than it should.
    """
    found = {}
    try:
        for device in devices.devices_of_first_pci_bus(qmp):
            numbers = device["id"]
            name = str(device.get("qdev_id") or "")[: _LONGEST // 2]
            what = f"{numbers['vendor']:04x}:{numbers['device']:04x} {name}".rstrip()
            found[f"{device['slot']:02x}.{device['function']:x}"] = what
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as err:
        raise errors.HypervisorError(f"QEMU's answer to query-pci has another form: {err}") from err
    return found


def of_source(told: object) -> Hardware | None:
    """What a source told, if it is that; None where it told nothing that can be compared."""
    if not isinstance(told, dict) or not 0 < len(told) <= _MOST:
        return None
    are_places = all(isinstance(place, str) and _PLACE.fullmatch(place) for place in told)
    devices = told.values()
    are_devices = all(isinstance(one, str) and len(one) <= _LONGEST for one in devices)
    return told if are_places and are_devices else None


def check(source: Hardware, here: Hardware) -> None:
    """Make sure that the guest finds here what it has there.

    Raises:
        errors.HypervisorError: each place with another device, or none.
    """
    places = sorted(set(source) | set(here))
    differing = [
        f"at {place} it has {source.get(place, 'nothing')!r}, and here would be"
        f" {here.get(place, 'nothing')!r}"
        for place in places
        if _numbers(source.get(place)) != _numbers(here.get(place))
    ]
    if differing:
        raise errors.HypervisorError(
            "its PCI devices are not those that it has where it runs: "
            f"{'; '.join(differing)}. Nothing was sent. Shut the instance down, and start it anew"
        )


def _numbers(device: str | None) -> str | None:
    return device.partition(" ")[0] if device is not None else None
