"""A guest of 512 bytes that does what an operating system owes its host, a moment after its BIOS.

It shuts down when the power button is pressed, and releases each PCI device that is asked for. A
Linux takes seconds to get there, and is needed hundreds of times.
"""

from __future__ import annotations

from pathlib import Path

_SECTOR = 512

# 16-bit code, for QEMU's PC: its power management at 0x600, its PCI hot-plug at 0xae00.
_CODE = bytes.fromhex(
    "ba0206 b80001 ef"  # mov dx, 602; mov ax, 100; out dx, ax: the power button is listened to
    "ba04ae 66ed 6685c0 7405"  # again: mov dx, ae04; in eax, dx; test eax, eax; jz button
    "ba08ae 66ef"  # mov dx, ae08; out dx, eax: the devices asked for are released
    "ba0006 ed f6c401 7504"  # button: mov dx, 600; in ax, dx; test ah, 1; jnz off
    "fb f4 ebe4"  # sti; hlt; jmp again
    "ba0406 b80020 ef ebfe"  # off: mov dx, 604; mov ax, 2000; out dx, ax; jmp here
)

# It lets ES reach all memory, and then writes to each page from 1 to 12 MiB, again and again.
_RESTLESS = bytes.fromhex(
    "fa 31c0 8ed8 0f0116387c"  # cli; xor ax, ax; mov ds, ax; lgdt [7c38]
    "0f20c0 0c01 0f22c0"  # mov eax, cr0; or al, 1; mov cr0, eax
    "bb0800 8ec3 24fe 0f22c0"  # mov bx, 8; mov es, bx; and al, fe; mov cr0, eax
    "66bf00001000"  # again: mov edi, 100000
    "2667fe07 6681c700100000"  # next: inc byte [es:edi]; add edi, 1000
    "6681ff0000c000 72ec ebe4"  # cmp edi, c00000; jb next; jmp again
    "0f00 3e7c0000"  # 7c38: the table's limit and place
    "0000000000000000 ffff00000092cf00"  # 7c3e: no segment; all memory, to be read and written
)

# The same, at leisure: what the processor does between two pages is what it can be kept from.
_BUSY = (
    bytes.fromhex(
        "fa 31c0 8ed8 0f0116417c 0f20c0 0c01 0f22c0 bb0800 8ec3 24fe 0f22c0"
        "66bf00001000 2667fe07 6681c700100000"
        "66b9"  # mov ecx, so many turns
    ),
    bytes.fromhex(
        "67e2fd"  # loop
        "6681ff0000c000 72e3 ebdb"
        "0f00 477c0000 0000000000000000 ffff00000092cf00"
    ),
)

#: HMP's command that reads the port which the guest writes first, and what it says from then on.
READY_QUESTION = "i /h 0x602"
READY_ANSWER = "0x0100"


def write_disk(path: Path, *, mebibytes: int = 1) -> None:
    """Make a disk image to start from."""
    _write(path, _CODE, mebibytes)


def write_restless_disk(path: Path, *, mebibytes: int = 1) -> None:
    """Make one whose guest changes 11 MiB of its 16 MiB of memory faster than it can be sent."""
    _write(path, _RESTLESS, mebibytes)


def write_busy_disk(path: Path, turns: int, *, mebibytes: int = 1) -> None:
    """Make one whose guest writes a page, counts down from ``turns``, and writes the next."""
    _write(path, turns.to_bytes(4, "little").join(_BUSY), mebibytes)


def _write(path: Path, code: bytes, mebibytes: int) -> None:
    with path.open("wb") as image:
        image.write(code.ljust(_SECTOR - 2, b"\0") + b"\x55\xaa")
        image.truncate(mebibytes << 20)
