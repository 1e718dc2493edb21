"""Files as block devices of this host, as logical volumes or DRBD are, and as file systems."""

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


@contextmanager
def file_system(folder: Path, name: str) -> Iterator[Path]:
    """The folder ``folder/name``, which is a small ext4 of its own until the end."""
    image, place = folder / f"{name}.img", folder / name
    place.mkdir()
    with image.open("wb") as data:
        data.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    with block_device(image) as device:
        subprocess.run(["mount", device, place], check=True)
        try:
            yield place
        finally:
            subprocess.run(["umount", place], check=True)
