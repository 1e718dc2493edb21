"""A name and a counter on each disk of a guest, which the guest itself reads and counts on.

A disk that was taken for another, or that lost a write, shows.
"""

from __future__ import annotations

import itertools

from .console import SerialConsole

_SECTOR = 512
_TIMEOUT = 60.0
# Reads each disk past the cache, names one that has no name, and says what it found:
# "step:N disk-0=4 disk-1=4."
_SCRIPT = (
    "found=; for b in /sys/block/[sv]d*; do n=${{b##*/}};"
    " set -- $(dd if=/dev/$n bs=512 count=1 iflag=direct 2>/dev/null | tr -d '\\0');"
    ' found="$found ${{1:-$n}}=${{2:-0}}"; printf "%-511s\\n" "${{1:-$n}} $((${{2:-0}}+1))" |'
    " dd of=/dev/$n bs=512 oflag=direct 2>/dev/null; done; echo step:{number}$found."
)
_numbers = itertools.count(1)


def content(name: str, count: int) -> bytes:
    """What stands at the beginning of a disk."""
    return f"{name} {count}".encode().ljust(_SECTOR - 1) + b"\n"


def read(data: bytes) -> tuple[str, int]:
    """The name and the counter at the beginning of a disk."""
    name, count = data[:_SECTOR].split()
    return name.decode(), int(count)


def count_on(console: SerialConsole) -> dict[str, int]:
    """What the guest finds on its disks; from then on each counter is higher by one."""
    number = next(_numbers)
    start = f"step:{number} "
    console.send(_SCRIPT.format(number=number))
    line = console.wait_for(lambda one: one.startswith(start) and "$" not in one, _TIMEOUT)
    words = line.removeprefix(start).rstrip(".").split()
    return {name: int(count) for name, count in (word.split("=") for word in words)}
