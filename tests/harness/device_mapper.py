#!/usr/bin/python3
"""dmsetup where the kernel has no device-mapper, and a node that uses it as upstream's module does.

A linear mapping of it is a loop device on another one, with offset and size: a block device of the
kernel's, at a link in /dev/mapper. As dmsetup, it removes none that somebody has open.

    device_mapper.py create NAME [--readonly] --table "0 SECTORS linear DEVICE START"
    device_mapper.py deps -o devname NAME
    device_mapper.py remove NAME
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

_MAPPER = Path("/dev/mapper")
_SECTOR = 512


def install(folder: Path) -> str:
    """Put it in ``folder`` under dmsetup's name; a PATH that begins there."""
    folder.mkdir(exist_ok=True)
    (folder / "dmsetup").symlink_to(Path(__file__).resolve())
    return f"{folder}:{os.environ['PATH']}"


#: Before a command: it gets a /dev/mapper of its own.
ALONE = [
    *("unshare", "--mount", "--propagation=private", "--"),
    *("bash", "-euc", 'mkdir -p /dev/mapper; mount -t tmpfs none /dev/mapper; exec "$@"', "alone"),
]


@contextlib.contextmanager
def as_upstream(hypervisor: Any, made: Any, disks: list[Any]) -> Iterator[None]:
    """QEMU is given a stored command's own words meanwhile, on mappings of the firmware disk."""
    from ganeti_hv_kvm.hv_kvm.command_line import uefi
    from ganeti_hv_kvm.hv_kvm.host import firmware_mappings

    hypervisor._SetupFirmwareDisk(made, disks)
    with (
        mock.patch.object(uefi, "from_disk", lambda command, _disk: list(command)),
        mock.patch.object(firmware_mappings, "clean_up"),
    ):
        yield


def loops(image: str | Path) -> list[str]:
    """The loop devices on a file."""
    command = ["losetup", "--noheadings", "-O", "NAME", "-j", str(image)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def detach(image: str | Path) -> list[str]:
    """Whatever is left on a file goes, what lies on that first; the devices on the file itself."""
    left = loops(image)
    for device in left:
        for above in loops(device):
            _losetup("--detach", above)
        _losetup("--detach", device)
    return left


def _losetup(*arguments: str) -> str:
    done = subprocess.run(["losetup", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _create(name: str, options: list[str]) -> None:
    begin, sectors, kind, device, start = options[options.index("--table") + 1].split()
    assert (begin, kind) == ("0", "linear")
    read_only = ["--read-only"] if "--readonly" in options else []
    place = [f"--offset={int(start) * _SECTOR}", f"--sizelimit={int(sectors) * _SECTOR}"]
    (_MAPPER / name).symlink_to(_losetup("--find", "--show", *read_only, *place, device))


def _is_open(device: Path) -> bool:
    number = device.stat().st_rdev
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if entry.stat().st_rdev == number:
                return True
    return False


def main(command: str, *options: str) -> int:
    if command == "create":
        _create(options[0], list(options[1:]))
        return 0
    mapping = _MAPPER / options[-1]
    if not mapping.exists():
        print(f"Device {options[-1]} not found", file=sys.stderr)
        return 1
    device = str(mapping.readlink())
    if command == "deps":
        below = Path(_losetup("--noheadings", "-O", "BACK-FILE", device)).name
        print(f"1 dependencies\t: ({below})")
    elif command == "remove":
        if _is_open(mapping):
            print("device-mapper: remove ioctl failed: Device or resource busy", file=sys.stderr)
            return 1
        mapping.unlink()
        _losetup("--detach", device)
    else:
        raise ValueError(command)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
