"""USB devices, in the words that an administrator knows from -usbdevice.

QEMU has taken most of those words away over the years ("usbdevice parameters are not supported
anymore"), while clusters still have them in their configuration: here they become what they meant,
said with -device. What nothing can be made of is refused, before anything is started.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.qemu.facts import QemuFacts

from .option import Part, properties

#: What -usbdevice still takes, and -device's name for it.
_PLAIN = {
    "braille": "usb-braille",
    "keyboard": "usb-kbd",
    "mouse": "usb-mouse",
    "tablet": "usb-tablet",
    "wacom-tablet": "usb-wacom-tablet",
}

# Devices that do nothing, or no good, without more words than this parameter has room for.
_NEED_MORE: Mapping[str, str] = {
    "usb-bot": "it needs disks of its own",
    "usb-host": "say which device of the node: host:VENDOR:PRODUCT or host:BUS.ADDRESS",
    "usb-mtp": "it needs a folder of the node",
    "usb-net": "give the instance another NIC instead",
    "usb-redir": "it needs a connection of its own",
    "usb-serial": "say what is behind it: serial::pty, serial::null or serial::/dev/DEVICE",
    "usb-storage": "say which image: disk:PATH",
    "usb-uas": "it needs disks of its own",
}
# Words of -usbdevice that QEMU has no device for any more.
_GONE: Mapping[str, str] = {
    "bt": "QEMU has had no Bluetooth since version 5",
    "net": "give the instance another NIC instead",
}
_HEX = r"(?:0x)?[0-9a-fA-F]{1,4}"
_BY_PRODUCT = re.compile(rf"(?P<vendor>{_HEX}):(?P<product>{_HEX}|\*)")
_BY_PLACE = re.compile(r"0*(?P<bus>[1-9]\d{0,2})\.0*(?P<address>[1-9]\d{0,2})", re.ASCII)
_SERIAL = re.compile(r"(?:[^:]*:)?(?P<backend>pty|null|/dev/[^:]+)")
_DISK = re.compile(r"(?:format=(?P<format>raw|qcow2|vmdk|vdi|vpc|vhdx|qed):)?(?P<path>/.+)")


class _Words(NamedTuple):
    """How one device is said, as far as its number does not matter yet; ``{n}`` stands for it."""

    device: Sequence[Part]
    before: Sequence[str] = ()


def listed(text: str) -> list[str]:
    """Take the parameter usb_devices apart.

    Ganeti's manual says that spaces part the devices, its code that commas do.
    """
    return [word for word in re.split(r"[,\s]+", text) if word]


def _host(what: str) -> _Words | str:
    if found := _BY_PRODUCT.fullmatch(what):
        vendor, product = int(found["vendor"], 16), found["product"]
        words: list[Part] = ["usb-host", ("vendorid", f"0x{vendor:04x}")]
        if product != "*":
            words.append(("productid", f"0x{int(product, 16):04x}"))
        return _Words(words)
    if found := _BY_PLACE.fullmatch(what):
        return _Words(["usb-host", ("hostbus", found["bus"]), ("hostaddr", found["address"])])
    return "a device of the node is host:VENDOR:PRODUCT, as lsusb prints it, or host:BUS.ADDRESS"


def _disk(what: str) -> _Words | str:
    found = _DISK.fullmatch(what)
    if not found:
        return "an image is disk:PATH or disk:format=FORMAT:PATH, with an absolute path"
    node = properties(
        f"driver={found['format'] or 'raw'}",
        ("node-name", "usbdisk{n}"),
        ("file.driver", "file"),
        ("file.filename", found["path"]),
    )
    return _Words(["usb-storage", ("drive", "usbdisk{n}")], ["-blockdev", node])


def _serial(what: str) -> _Words | str:
    found = _SERIAL.fullmatch(what)
    if not found:
        return _NEED_MORE["usb-serial"]
    backend, path = found["backend"], None
    if backend.startswith("/"):
        backend, path = "serial", ("path", found["backend"])
    chardev = properties(backend, ("id", "usbserial{n}"), path)
    return _Words(["usb-serial", ("chardev", "usbserial{n}")], ["-chardev", chardev])


_WITH_MORE = {"host": _host, "disk": _disk, "serial": _serial}


def _alone(word: str, facts: QemuFacts, sound: str) -> _Words | str:
    """A device that is its name alone."""
    whole = word.startswith("usb-") or facts.has_device(word)
    driver = _PLAIN.get(word) or (word if whole else f"usb-{word}")
    if word in _GONE or driver in _NEED_MORE:
        return _GONE.get(word) or _NEED_MORE[driver]
    if not facts.has_usb_device(driver):
        return f"{facts.path} has no such USB device"
    if driver == "usb-braille":
        chardev = properties("braille", ("id", "usbbraille{n}"))
        return _Words([driver, ("chardev", "usbbraille{n}")], ["-chardev", chardev])
    if driver == "usb-audio":
        audiodev = properties(sound, ("id", "usbaudio{n}"))
        return _Words([driver, ("audiodev", "usbaudio{n}")], ["-audiodev", audiodev])
    return _Words([driver])


def _as_device(word: str, facts: QemuFacts, sound: str = "none") -> _Words | str:
    """How -device says what -usbdevice said; a sentence where it cannot."""
    kind, colon, what = word.partition(":")
    if not colon:
        return _alone(word, facts, sound)
    if kind in _GONE:
        return _GONE[kind]
    if kind not in _WITH_MORE:
        return "no device is said like that"
    return _WITH_MORE[kind](what)


def problem(word: str, facts: QemuFacts, *, plain: bool) -> str | None:
    """Why there can be no such device; None if there can.

    Args:
        plain: -usbdevice is used for what it still takes.
    """
    if plain and word in _PLAIN:
        return None
    words = _as_device(word, facts)
    return words if isinstance(words, str) else None


def takes_plain(facts: QemuFacts, *, is_q35: bool) -> bool:
    """Whether -usbdevice is there to be used: to a q35 it would bring controllers of its own."""
    return facts.has_switch("-usbdevice") and not is_q35


def arguments(
    word: str, facts: QemuFacts, *, is_q35: bool, number: int = 0, sound: str = "none"
) -> list[str]:
    """One device.

    Args:
        number: its number in the list; from it come the names of what is behind it.
        sound: where a sound device's sound goes.

    Raises:
        errors.HypervisorError: nothing can be made of the word.
    """
    if word in _PLAIN and takes_plain(facts, is_q35=is_q35):
        return ["-usbdevice", word]
    words = _as_device(word, facts, sound)
    if isinstance(words, str):
        raise errors.HypervisorError(f"{constants.HV_USB_DEVICES}: '{word}' cannot be had: {words}")
    made = [*words.before, "-device", properties(*words.device)]
    return [part.replace("{n}", str(number)) for part in made]
