"""A disk or CD-ROM image that starts, and then tells so on the serial port again and again."""

from __future__ import annotations

import struct
from pathlib import Path

_DISK_SECTOR, _CD_SECTOR = 512, 2048
_DESCRIPTORS = 16  # where ISO 9660 begins
_CATALOG, _PROGRAM = _DESCRIPTORS + 3, _DESCRIPTORS + 4

# 16-bit code that runs wherever it is loaded: it finds the text behind itself.
_CODE = bytes.fromhex(
    "fc"  # cld
    "e80000 5e 83c612"  # call +0; pop si; add si, 18
    "2eac 84c0 7406"  # each: cs lodsb; test al, al; jz again
    "baf803 ee ebf4"  # mov dx, 3f8; out dx, al; jmp each
    "ebea"  # again: jmp to the first instruction
)


def _program(text: str) -> bytes:
    return _CODE + text.encode() + b"\r\n\0"


def disk(path: Path, text: str, *, mebibytes: int = 16) -> None:
    """Write a disk whose boot sector prints ``text``."""
    sector = _program(text).ljust(_DISK_SECTOR - 2, b"\0") + b"\x55\xaa"
    with path.open("wb") as image:
        image.write(sector)
        image.truncate(mebibytes << 20)


def cdrom(path: Path, text: str) -> None:
    """Write a CD-ROM that starts as El Torito says, without an emulated disk."""
    primary = b"\x01CD001\x01"
    boot = (b"\0CD001\x01" + b"EL TORITO SPECIFICATION").ljust(0x47, b"\0")
    boot += struct.pack("<I", _CATALOG)
    last = b"\xffCD001\x01"
    validation = b"\x01".ljust(28, b"\0") + struct.pack("<HH", (-0x01 - 0xAA55) & 0xFFFF, 0xAA55)
    entry = struct.pack("<BBHBBHI", 0x88, 0, 0, 0, 0, _CD_SECTOR // _DISK_SECTOR, _PROGRAM)
    sectors = [primary, boot, last, validation + entry, _program(text)]
    image = b"".join(sector.ljust(_CD_SECTOR, b"\0") for sector in sectors)
    path.write_bytes(bytes(_DESCRIPTORS * _CD_SECTOR) + image.ljust(32 * _CD_SECTOR, b"\0"))
