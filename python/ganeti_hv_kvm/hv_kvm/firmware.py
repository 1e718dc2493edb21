"""A firmware disk: UEFI code and its variables, side by side on one of the guest's disks.

The layout is that of upstream's development version, so that either module reads what the other
wrote. Sector 0 is the superblock, little endian: 8 bytes "GNTOVMF" and NUL, a 32-bit version, a
32-bit number of regions, and for each region its name in 16 bytes (padded with NUL), a 64-bit
offset and a 64-bit size, both in bytes. Regions begin at multiples of 1 MiB.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from ganeti import errors

MAGIC = b"GNTOVMF\0"
VERSION = 1
SECTOR_SIZE = 512
ALIGNMENT = 1 << 20

REGION_CODE = "code"
REGION_VARS = "vars"

#: Region -> (offset, size) in bytes, in their order on the disk.
Layout = dict[str, tuple[int, int]]

_HEAD = struct.Struct("<8sII")
_REGION = struct.Struct("<16sQQ")
_MOST_REGIONS = (SECTOR_SIZE - _HEAD.size) // _REGION.size


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT


def ComputeLayout(code_size: int, vars_size: int) -> Layout:
    """Lay out a disk for templates of these sizes, in bytes.

    Raises:
        errors.HypervisorError: a template is empty.
    """
    if code_size <= 0 or vars_size <= 0:
        raise errors.HypervisorError(
            f"UEFI code of {code_size} bytes and variables of {vars_size}: neither may be empty"
        )
    code_at = ALIGNMENT
    return {
        REGION_CODE: (code_at, code_size),
        REGION_VARS: (_aligned(code_at + code_size), vars_size),
    }


def RequiredDiskSize(layout: Mapping[str, tuple[int, int]]) -> int:
    """How many bytes a disk needs for all regions, rounded up to a whole MiB."""
    return _aligned(max(offset + size for offset, size in layout.values()))


def PackSuperblock(layout: Mapping[str, tuple[int, int]]) -> bytes:
    """Write a layout as the disk's sector 0.

    Raises:
        errors.HypervisorError: a name is too long, or there are too many regions.
    """
    names = [name.encode() for name in layout]
    if len(names) > _MOST_REGIONS or any(len(name) > 16 for name in names):
        raise errors.HypervisorError(
            f"a firmware disk has at most {_MOST_REGIONS} regions, with names of 16 bytes"
        )
    regions = [
        _REGION.pack(name, *place) for name, place in zip(names, layout.values(), strict=True)
    ]
    head = _HEAD.pack(MAGIC, VERSION, len(regions))
    return b"".join([head, *regions]).ljust(SECTOR_SIZE, b"\0")


def UnpackSuperblock(data: bytes) -> Layout:
    """Read the layout from the beginning of a disk. What stands there is checked, not believed.

    Raises:
        errors.HypervisorError: it is too short, no firmware disk, or of another version; or its
            regions have no place on a disk.
    """
    if len(data) < _HEAD.size:
        raise errors.HypervisorError(
            f"the superblock of a firmware disk is cut off: {len(data)} bytes"
        )
    magic, version, number = _HEAD.unpack_from(data)
    if magic != MAGIC:
        raise errors.HypervisorError(
            f"this is no firmware disk: it begins with {magic!r}, not with the magic {MAGIC!r}"
        )
    if version != VERSION:
        raise errors.HypervisorError(
            f"the firmware disk has layout version {version}; known is {VERSION}"
        )
    if number > _MOST_REGIONS or len(data) < _HEAD.size + number * _REGION.size:
        raise errors.HypervisorError(
            f"the superblock of a firmware disk is cut off: {number} regions, {len(data)} bytes"
        )
    layout: Layout = {}
    for index in range(number):
        raw, offset, size = _REGION.unpack_from(data, _HEAD.size + index * _REGION.size)
        name = raw.rstrip(b"\0").decode("ascii", "backslashreplace")
        if name in layout:
            raise errors.HypervisorError(f"the firmware disk has two regions {name!r}")
        layout[name] = (offset, size)
    _check_places(layout)
    return layout


def _check_places(layout: Layout) -> None:
    end = SECTOR_SIZE
    for name, (offset, size) in sorted(layout.items(), key=lambda region: region[1]):
        if size == 0 or offset % SECTOR_SIZE or offset < end:
            raise errors.HypervisorError(
                f"region {name!r} of the firmware disk cannot lie at byte {offset}"
                f" with {size} bytes: it is empty, or overlaps what lies before it"
            )
        end = offset + size
