"""What a process has open, read while it opens and closes more."""

from __future__ import annotations

import os
from collections.abc import Iterator


def open_files(pid: int | str = "self") -> Iterator[tuple[int, str]]:
    """Each descriptor of the process and what it is of; what is closed meanwhile is left out."""
    for entry in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{entry}")
        except FileNotFoundError:  # closed since, the listing's own among them
            continue
        yield int(entry), target
