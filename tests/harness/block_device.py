"""A file as a block device of this host, as a logical volume or DRBD is one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def block_device(image: Path) -> Iterator[str]:
    """The path of a loop device on ``image``; the device goes at the end."""
    command = ["losetup", "--find", "--show", str(image)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    path = found.stdout.strip()
    try:
        yield path
    finally:
        subprocess.run(["losetup", "--detach", path], check=True)
