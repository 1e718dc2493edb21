"""Regions of a firmware disk as devices of their own, which upstream's module starts guests with.

Guests of this module need none (``command_line.uefi``). Those that upstream's module started leave
theirs to whoever stops them: as long as a mapping is there, it holds the disk.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ganeti import constants, errors, utils

from ganeti_hv_kvm.hv_kvm import firmware
from ganeti_hv_kvm.hv_kvm.command_line.uefi import mapping_name, mapping_path
from ganeti_hv_kvm.hv_kvm.ganeti.block_devices import BlockDevice

from . import firmware_disk

if TYPE_CHECKING:
    from ganeti import objects

_REGIONS = (firmware.REGION_CODE, firmware.REGION_VARS)
_LOOP = re.compile(r"\((loop\d+)\)")


def _run(what: str, command: list[str]) -> utils.RunResult:
    try:
        result = utils.RunCmd(command)
    except (OSError, errors.OpExecError) as err:
        raise errors.HypervisorError(f"{what}: {command[0]} cannot be run: {err}") from err
    if result.failed:
        raise errors.HypervisorError(f"{what}: {' '.join(command)}: {result.output}")
    return result


def region_base(disk: objects.Disk, link: str) -> str:
    """Give a block device for a firmware disk: a file gets a loop device, which stays.

    Raises:
        errors.HypervisorError: there is none to be had.
    """
    return _loop_device(link) if disk.dev_type in constants.DTS_FILEBASED else link


def _loop_device(link: str) -> str:
    made = _run(f"no loop device for {link}", ["losetup", "-f", "--show", link])
    return str(made.stdout).strip()


def expose_region(
    name: str, region: str, base: str, place: tuple[int, int], *, read_only: bool
) -> str:
    """Map a region of a block device, and give the path of the mapping.

    Args:
        name: the instance's.
        region: ``firmware.REGION_*``.
        place: offset and size in bytes, multiples of ``firmware.SECTOR_SIZE``.
        read_only: it is not to be written to.

    Raises:
        errors.HypervisorError: dmsetup's own words.
    """
    start, sectors = (length // firmware.SECTOR_SIZE for length in place)
    command = ["dmsetup", "create", mapping_name(name, region)]
    command += ["--readonly"] if read_only else []
    command += ["--table", f"0 {sectors} linear {base} {start}"]
    _run(f"region {region} of the firmware disk of {name} cannot be mapped", command)
    return mapping_path(name, region)


def set_up(name: str, block_devices: Iterable[BlockDevice], hvp: dict[str, object]) -> list[str]:
    """Map both regions of an instance's firmware disk, and give the paths of the mappings.

    Raises:
        errors.HypervisorError: as for ``firmware_disk.look`` and ``expose_region``.
    """
    found = firmware_disk.look(name, block_devices, hvp)
    clean_up(name)
    base = _loop_device(found.path) if found.is_file else found.path
    return [
        expose_region(
            name, region, base, found.layout[region], read_only=region == firmware.REGION_CODE
        )
        for region in _REGIONS
    ]


def clean_up(name: str) -> None:
    """Remove the mappings of an instance's firmware, and the loop device below them.

    Raises:
        errors.HypervisorError: what is still there, such as a mapping that is in use.
    """
    loops: list[str] = []
    for region in _REGIONS:
        mapping = mapping_name(name, region)
        if not os.path.exists(mapping_path(name, region)):
            continue
        what = f"the mapping {mapping} of a firmware disk is still there"
        below = _run(what, ["dmsetup", "deps", "-o", "devname", mapping])
        _run(what, ["dmsetup", "remove", mapping])
        loops += _LOOP.findall(str(below.stdout))
    for loop in dict.fromkeys(loops):
        _run(f"/dev/{loop} of a firmware disk is still there", ["losetup", "-d", f"/dev/{loop}"])
