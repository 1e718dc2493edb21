"""Devices that an instance's tags ask for: random numbers, a watchdog, the news of a panic.

A guest has them, or has them not, from its birth on: they are part of the stored command. On a pc
QEMU finds their places, behind those of kvm_extra, so that nothing else moves for them. On a q35
they have places of their own, which QEMU would give to a device of kvm_extra that came before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from ganeti import errors

from ganeti_hv_kvm.hv_kvm.devices import q35

from .option import properties
from .request import StartRequest

BALLOON = "virtio-balloon"
RNG = "virtio-rng-pci"
WATCHDOG = "i6300esb"
PVPANIC = "pvpanic"


def before_extra(request: StartRequest) -> list[str]:
    """The devices of a q35.

    Raises HypervisorError for a device that this QEMU does not have.
    """
    return _of_switch(_words(request), "-device") if request.is_q35 else []


def behind_extra(request: StartRequest) -> list[str]:
    """The devices of any other machine, and what QEMU is to do.

    Raises HypervisorError for a device that this QEMU does not have.
    """
    words = _words(request)
    return _of_switch(words, "-action", "-watchdog-action") if request.is_q35 else words


def _of_switch(words: list[str], *switches: str) -> list[str]:
    pairs = zip(words[::2], words[1::2], strict=True)
    return [word for switch, value in pairs if switch in switches for word in (switch, value)]


def _words(request: StartRequest) -> list[str]:
    options = request.options
    words: list[str] = []
    if options.is_on("rng", False):
        # without a backend of its own QEMU gives it one, which needs no file
        words += _device(request, "rng", RNG, q35.RNG_SLOT)
    if action := options.word("watchdog"):
        words += _device(request, "watchdog", WATCHDOG, q35.WATCHDOG_SLOT)
        words += _action(request, "watchdog", action)
    if action := options.word("panic"):
        words += _device(request, "panic", PVPANIC, None)
        words += _action(request, "panic", action)
    return words


def _device(request: StartRequest, option: str, driver: str, slot: int | None) -> list[str]:
    if request.facts.lacks_device(driver):
        raise errors.HypervisorError(
            f"{request.facts.path} has no device {driver}, which the tag hv-kvm:{option} needs"
        )
    place = q35.place_of(slot) if request.is_q35 and slot is not None else []
    return ["-device", properties(driver, ("id", _id(option)), *place)]


def _id(option: str) -> str:
    return f"hv-kvm-{option}"


def _action(request: StartRequest, event: str, action: str) -> list[str]:
    """What QEMU does at an event."""
    if request.facts.has_switch("-action"):
        return ["-action", f"{event}={action}"]
    if event == "watchdog":
        return ["-watchdog-action", action]
    raise errors.HypervisorError(
        f"{request.facts.path} has no -action, which the tag hv-kvm:{event} needs"
    )


def has_balloon(command: Iterable[object]) -> bool:
    """Tell whether a stored command gives its guest a balloon."""
    return any(str(word).partition(",")[0].startswith(BALLOON) for word in command)


def has(command: Iterable[object], option: str) -> bool:
    """Tell whether a stored command gives its guest the device of an option."""
    return any(f",id={_id(option)}," in f"{word}," for word in command)


def action_of(command: Sequence[str], option: str) -> str | None:
    """Give what QEMU does at the event of an option; None where the guest lacks its device."""
    if not has(command, option):
        return None
    for switch, value in pairwise(command):
        event, equals, action = value.partition("=")
        if switch == "-action" and event == option and equals:
            return action
        if switch == f"-{option}-action":
            return value
    return None
