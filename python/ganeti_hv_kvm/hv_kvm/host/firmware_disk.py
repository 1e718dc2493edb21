"""The disk that holds a guest's UEFI firmware: is it there, and what does it hold?"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm import firmware
from ganeti_hv_kvm.hv_kvm.command_line import FirmwareDisk
from ganeti_hv_kvm.hv_kvm.devices.places import is_userspace
from ganeti_hv_kvm.hv_kvm.ganeti import boot_type
from ganeti_hv_kvm.hv_kvm.ganeti.block_devices import BlockDevice
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import text
from ganeti_hv_kvm.hv_kvm.kvm_utils import GetCacheSettings

from . import firmware_image

#: QEMU's flash chips consist of sectors of this size, in bytes, and all together are not larger
#: than its property max-fw-size.
_SECTOR = 1 << 12
_MOST = 8 << 20


def find(block_devices: Iterable[BlockDevice]) -> BlockDevice | None:
    """Give the guest's firmware disk, which may be at any place among the others."""
    found = (entry for entry in block_devices if boot_type.is_firmware(entry[0]))
    return next(found, None)


def device_of(name: str, entry: BlockDevice) -> str:
    """Give the path of a firmware disk on this node.

    Raises:
        errors.HypervisorError: it has none.
    """
    disk, link, _ = entry
    if is_userspace(disk):
        raise errors.HypervisorError(
            f"the firmware disk of {name} is reached by QEMU over the network"
            f" ({constants.LDP_ACCESS}={constants.DISK_USERSPACE}): it must be a device of this"
            f" node ({constants.DISK_KERNELSPACE})"
        )
    return link


def look(name: str, block_devices: Iterable[BlockDevice], hvp: dict[str, object]) -> FirmwareDisk:
    """Find the firmware disk of an instance, and read where on it the regions are.

    Args:
        name: the instance's.
        block_devices: its disks.
        hvp: the parameters of its start.

    Raises:
        errors.HypervisorError: there is none, or none that can be used; nothing was done.
    """
    entry = find(block_devices)
    if entry is None:
        raise errors.HypervisorError(
            f"Instance {name} is to boot with UEFI firmware, but none of its disks has the role"
            " firmware: Ganeti makes that disk with the instance. Set boot_type to what the"
            " instance was made for, or make it anew"
        )
    disk, link = entry[0], device_of(name, entry)
    try:
        with open(link, "rb") as device:
            layout = firmware.UnpackSuperblock(device.read(firmware.SECTOR_SIZE))
            size = device.seek(0, os.SEEK_END)
            is_file = stat.S_ISREG(os.fstat(device.fileno()).st_mode)
    except OSError as err:
        raise errors.HypervisorError(f"the firmware disk of {name} cannot be read: {err}") from err
    except errors.HypervisorError as err:
        raise errors.HypervisorError(f"{link}, the firmware disk of {name}: {err}") from err
    _check_regions(name, link, layout, size)
    _, direct, _ = GetCacheSettings(text(hvp, constants.HV_DISK_CACHE), disk.dev_type)
    return FirmwareDisk(link, is_file, direct or not is_file, layout)


def why_unfit(layout: firmware.Layout) -> str | None:
    """Say why QEMU cannot make flash chips of these regions; None if it can."""
    lengths = [length for _, length in _regions(layout)]
    whole = all(length > 0 and length % _SECTOR == 0 for length in lengths)
    if whole and sum(lengths) <= _MOST:
        return None
    return (
        f"QEMU needs code and variables in whole sectors of {_SECTOR} bytes, {_MOST} bytes together"
        " at most"
    )


def _regions(layout: firmware.Layout) -> list[tuple[int, int]]:
    return [layout.get(region, (0, 0)) for region in (firmware.REGION_CODE, firmware.REGION_VARS)]


def _check_regions(name: str, link: str, layout: firmware.Layout, size: int) -> None:
    if why := why_unfit(layout):
        raise errors.HypervisorError(f"{link}, the firmware disk of {name}, holds {layout}: {why}")
    end = max(offset + length for offset, length in _regions(layout))
    if end > size:
        raise errors.HypervisorError(
            f"{link}, the firmware disk of {name}, has {size} bytes, and its regions end at {end}"
        )


def needs_smm(disk: FirmwareDisk) -> bool:
    """Tell whether the firmware is made for system management mode, as that for Secure Boot is.

    Raises:
        errors.HypervisorError: the disk cannot be read.
    """
    offset, size = disk.layout[firmware.REGION_CODE]
    try:
        with open(disk.path, "rb") as device:
            device.seek(offset)
            return firmware_image.needs_smm(device.read(size))
    except OSError as err:
        raise errors.HypervisorError(f"{disk.path} cannot be read: {err}") from err
