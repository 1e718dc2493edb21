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

#: HMP's command that reads the port which the guest writes first, and what it says from then on.
READY_QUESTION = "i /h 0x602"
READY_ANSWER = "0x0100"


def write_disk(path: Path, *, mebibytes: int = 1) -> None:
    """Make a disk image to start from."""
    with path.open("wb") as image:
        image.write(_CODE.ljust(_SECTOR - 2, b"\0") + b"\x55\xaa")
        image.truncate(mebibytes << 20)
