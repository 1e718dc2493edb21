"""The end of the log that a guest's QEMU writes (-D, and what it says on its standard error)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from ganeti_hv_kvm.cli.frame.output import quoted
from ganeti_hv_kvm.cli.node import masking

_MOST_BYTES = 1 << 16
_LONGEST_LINE = 400


class LogEnd(NamedTuple):
    """The last lines of a log.

    Attributes:
        lines: the oldest first, without secrets and control characters.
        written: when it was written last, seconds since the epoch.
        size: bytes of the whole log.
    """

    lines: tuple[str, ...]
    written: float
    size: int


def read_end(path: Path, most: int) -> LogEnd | None:
    """Give the last lines of a log that are not empty, ``most`` of them; None if there is no log.

    Raises:
        OSError: there is one, and it cannot be read.
    """
    try:
        # a FIFO in its place would hold the caller for ever
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        start = max(0, status.st_size - _MOST_BYTES)
        stream.seek(start)
        text = stream.read(_MOST_BYTES).decode("utf-8", "replace")
    lines = text.splitlines()[1 if start else 0 :]
    told = [quoted(masking.text(line[:_LONGEST_LINE])) for line in lines if line.strip()]
    return LogEnd(tuple(told[-most:]) if most else (), status.st_mtime, status.st_size)
