"""A disk that UEFI firmware starts our guest from: FAT16, a kernel, an initramfs, a shell script.

The firmware finds no boot loader on it, goes to its shell, and that does what ``startup.nsh`` says.
Seen on an overloaded machine: the shell ended with a "Device Error", and the guest stayed in the
firmware. Such tests want a machine for themselves.
"""

from __future__ import annotations

import struct
from pathlib import Path

from . import guest

_SECTOR, _PER_CLUSTER, _ROOT_ENTRIES, _FATS = 512, 4, 512, 2
_MEBIBYTES = 64
_SECTORS = (_MEBIBYTES << 20) // _SECTOR
_FAT_SECTORS = -(-(_SECTORS // _PER_CLUSTER + 2) * 2 // _SECTOR)
_END, _MEDIA = 0xFFFF, 0xF8
_CLUSTER = _SECTOR * _PER_CLUSTER


def write(path: Path, *, mebibytes: int = _MEBIBYTES) -> None:
    """Write the image of a disk; its file system has 64 MiB."""
    command = rf"\VMLINUZ.EFI initrd=\INITRD.IMG {guest.KERNEL_ARGS} console=ttyS0,38400"
    files = {
        "VMLINUZ EFI": guest.kernel().read_bytes(),
        "INITRD  IMG": guest.initramfs().read_bytes(),
        "STARTUP NSH": f"fs0:\r\n{command}\r\n".encode(),
    }
    fat, entries, data = [0xFF00 | _MEDIA, _END], [], []
    for name, content in files.items():
        first, count = len(fat), -(-len(content) // _CLUSTER)
        fat += [*range(first + 1, first + count), _END]
        data.append(content.ljust(count * _CLUSTER, b"\0"))
        entries.append(struct.pack("<11sB14xHI", name.encode(), 0x20, first, len(content)))
    table = struct.pack(f"<{len(fat)}H", *fat).ljust(_FAT_SECTORS * _SECTOR, b"\0")
    root = b"".join(entries).ljust(_ROOT_ENTRIES * 32, b"\0")
    with path.open("wb") as image:
        image.write(b"".join([_boot_sector(), table * _FATS, root, *data]))
        image.truncate(mebibytes << 20)


def _boot_sector() -> bytes:
    head = struct.pack(
        "<3s8sHBHBHHBHHHII",
        b"\xeb\x3c\x90",
        b"MSDOS5.0",
        _SECTOR,
        _PER_CLUSTER,
        1,  # reserved: this sector
        _FATS,
        _ROOT_ENTRIES,
        0,  # sectors, in 32 bits below
        _MEDIA,
        _FAT_SECTORS,
        32,
        64,
        0,
        _SECTORS,
    )
    more = struct.pack("<BBBI11s8s", 0x80, 0, 0x29, 1, b"GUEST      ", b"FAT16   ")
    return (head + more).ljust(_SECTOR - 2, b"\0") + b"\x55\xaa"
