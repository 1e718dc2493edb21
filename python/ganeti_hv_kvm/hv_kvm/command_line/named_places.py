"""Places that a command names: those of kvm_extra are taken, at a start and at a hot-plug.

A disk that was given such a place while the guest ran was seen to keep the guest from starting the
next time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from ganeti_hv_kvm.hv_kvm.devices.places import PCI_BUS, SCSI_BUS

_PCI_SLOTS = 32
_FUNCTION_BITS = 3
_SCSI_DISKS = ("scsi-hd", "scsi-cd", "scsi-block", "scsi-generic", "scsi-disk")
_IDE_DISKS = ("ide-hd", "ide-cd", "ide-drive")
_LAST_IDE_BUS = 1


def devices(command: Sequence[object]) -> Iterator[Mapping[str, object]]:
    """Give the properties of each -device, "driver" among them; what cannot be read is left out."""
    for switch, value in pairwise(map(str, command)):
        if switch not in ("-device", "--device"):
            continue
        if value.lstrip().startswith("{"):
            try:
                found = json.loads(value)
            except ValueError:
                continue
            if isinstance(found, dict):
                yield found
        else:
            driver, *words = value.split(",")
            pairs = (word.partition("=")[::2] for word in words)
            yield {"driver": driver.removeprefix("driver="), **dict(pairs)}


def of(command: Sequence[object]) -> list[dict[str, object]]:
    """Give the places on the PCI and SCSI buses that -device names, as parts of an ``hvinfo``.

    QEMU gives a SCSI disk without a target the first one that is free.
    """
    found: list[dict[str, object]] = []
    for device in devices(command):
        if device.get("driver") in _SCSI_DISKS:
            bus = str(device.get("bus", SCSI_BUS))
            taken = {one["scsi-id"] for one in found if one["bus"] == bus and "scsi-id" in one}
            free = next(number for number in range(len(taken) + 1) if number not in taken)
            target = _number(device.get("scsi-id"), 10)
            found.append({"bus": bus, "scsi-id": free if target is None else target})
        elif (slot := _slot(device.get("addr"))) is not None:
            found.append({"bus": str(device.get("bus", PCI_BUS)), "addr": hex(slot)})
    return found


def on_ide(command: Sequence[object]) -> set[tuple[int, int]]:
    """Give the (bus, unit) of each -device on a pc's IDE buses.

    QEMU gives one without a place the first that is free on the last bus.
    """
    taken: set[tuple[int, int]] = set()
    for device in devices(command):
        if device.get("driver") not in _IDE_DISKS:
            continue
        bus = _number(str(device.get("bus", f"ide.{_LAST_IDE_BUS}")).removeprefix("ide."), 10)
        unit = _number(device.get("unit"), 10)
        if bus is None:
            continue
        taken.add((bus, (1 if (bus, 0) in taken else 0) if unit is None else unit))
    return taken


def _slot(address: object) -> int | None:
    """The slot of a PCI address: a number in JSON, else hexadecimal, with or without a function."""
    if isinstance(address, int):
        slot: int | None = address >> _FUNCTION_BITS
    else:
        slot = _number(str(address or "").partition(".")[0], 16)
    # other devices have an address in memory under the same name
    return slot if slot is not None and 0 <= slot < _PCI_SLOTS else None


def _number(text: object, base: int) -> int | None:
    try:
        return int(str(text), base)
    except ValueError:
        return None
