"""The q35 machine: where its devices sit.

Its PCI Express bus takes no device while the guest runs; a root port on it does. So a guest gets
one at its start for each disk and each NIC that Ganeti will ever give it. What cannot come or go
shares one slot. The names and numbers here are in runtime files, and are what a guest knows its
hardware by: they are those of Ganeti's development version.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

BUS = "pcie.0"

#: QEMU itself takes 0 and 0x1f, and 1 for the graphics card.
FIXED_SLOT = 0x02
NIC_SLOTS = range(0x03, 0x0B)
DISK_SLOTS = range(0x0B, 0x1B)
#: What an instance's tags ask for.
RNG_SLOT, WATCHDOG_SLOT = 0x1B, 0x1C

_PORT = "rp"


class Function(enum.IntEnum):
    """What shares the fixed slot, by its number there."""

    BALLOON = 0
    SCSI_CONTROLLER = 1
    USB_CONTROLLER = 2
    SPICE_AGENT = 3
    GUEST_AGENT = 4
    SOUND = 5
    MEMORY = 6


def is_q35(machine_version: str | None) -> bool:
    """Tell whether a machine, as QEMU names it ("q35", "pc-q35-7.2"), is a q35."""
    return "q35" in (machine_version or "")


def fixed_place(function: int) -> list[tuple[str, object]]:
    """The properties of -device that put a device into the fixed slot, as this function of it.

    Number 0 is the one that QEMU wants to be told that it is not alone.
    """
    place: list[tuple[str, object]] = [("bus", BUS), ("addr", f"{FIXED_SLOT:#x}.{function:d}")]
    return [*place, ("multifunction", "on")] if function == Function.BALLOON else place


def in_place_of_balloon() -> list[tuple[str, object]]:
    """The properties of an empty root port, for a guest without a balloon.

    Without a first function in it a guest does not look for the others in the fixed slot.
    """
    port: list[tuple[str, object]] = [("id", port_at(FIXED_SLOT))]
    numbers: list[tuple[str, object]] = [("chassis", FIXED_SLOT), ("port", FIXED_SLOT)]
    return [*port, *fixed_place(Function.BALLOON), *numbers]


def place_of(slot: int) -> list[tuple[str, object]]:
    """The properties of -device that put a device into a slot of its own."""
    return [("bus", BUS), ("addr", hex(slot))]


def port_at(slot: int) -> str:
    """The id of the root port in a slot, which is also the name of the bus behind it."""
    return f"{_PORT}{slot}"


def slot_of(bus: str) -> int | None:
    """The slot of the root port with this id; None if it is no root port of ours."""
    number = bus.removeprefix(_PORT)
    return int(number) if number != bus and number.isdecimal() else None


def has_root_ports(command: Iterable[object]) -> bool:
    """Tell whether a stored command makes our root ports.

    That decides for a guest that runs, and not its parameters: it may have been started by a
    Ganeti that knew no q35, with buses of its administrator's making.
    """
    first = f"pcie-root-port,id={port_at(NIC_SLOTS[0])},"
    return any(str(word).startswith(first) for word in command)


def _Q35StaticAddr(function: int) -> str:
    """Give the end of -device's argument for a device in the fixed slot: ``,bus=...,addr=...``."""
    return "".join(f",{key}={value}" for key, value in fixed_place(function))


# Upstream's names, in its ``hv_kvm``.
_Q35_FN_BALLOON = int(Function.BALLOON)
_Q35_FN_SCSI_CTRL = int(Function.SCSI_CONTROLLER)
_Q35_FN_USB_XHCI = int(Function.USB_CONTROLLER)
_Q35_FN_SPICE_VSERIAL = int(Function.SPICE_AGENT)
_Q35_FN_QGA_VSERIAL = int(Function.GUEST_AGENT)
_Q35_FN_SOUND = int(Function.SOUND)
