"""How a guest boots, upstream's parameter boot_type, and the role of a disk that holds firmware.

Ganetis without the parameter boot a kernel of the node's where ``kernel_path`` has one, else as the
BIOS does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ganeti import constants

from ganeti_hv_kvm import json_shapes as shapes

from .block_devices import BlockDevice

if TYPE_CHECKING:
    from ganeti import objects

#: The parameter's name, None where this Ganeti does not have it.
PARAMETER: str | None = getattr(constants, "HV_BOOT_TYPE", None)

_DIRECT_KERNEL: str = getattr(constants, "HT_BOOT_DIRECT_KERNEL", "direct_kernel")
_DIRECT_KERNEL_EFI: str = getattr(constants, "HT_BOOT_DIRECT_KERNEL_EFI", "direct_kernel_efi")
_BIOS: str = getattr(constants, "HT_BOOT_BIOS", "bios")
_UEFI: str = getattr(constants, "HT_BOOT_UEFI", "uefi")
_ROLE = "role"
_FIRMWARE_ROLE: str = getattr(constants, "DR_ROLE_FIRMWARE", "firmware")

# What a kernel of the node's is started with, and what the others do without.
_OF_A_KERNEL = (constants.HV_KERNEL_PATH, constants.HV_INITRD_PATH, constants.HV_KERNEL_ARGS)


def uses_ovmf(boot_type: str | None) -> bool:
    """Whether a guest of this boot type has UEFI firmware."""
    return boot_type in (_UEFI, _DIRECT_KERNEL_EFI)


def uses_direct_kernel(boot_type: str | None) -> bool:
    """Whether a guest of this boot type is given a kernel from the node's file system."""
    return boot_type in (_DIRECT_KERNEL, _DIRECT_KERNEL_EFI)


def implied(hvparams: Mapping[str, object]) -> str:
    """How a guest boots whose parameters say nothing of it: they are older than boot_type."""
    return _DIRECT_KERNEL if hvparams.get(constants.HV_KERNEL_PATH) else _BIOS


def of(hvparams: Mapping[str, object]) -> str:
    """How a guest with these parameters boots, a value of boot_type."""
    said = hvparams.get(PARAMETER) if PARAMETER else None
    return str(said) if said else implied(hvparams)


def follows_boot_order(hvparams: Mapping[str, object]) -> bool:
    """Whether boot_order says what the guest starts from."""
    return not uses_direct_kernel(of(hvparams))


def kernel(hvparams: Mapping[str, object]) -> str:
    """The kernel that the guest is given, "" where it boots by itself."""
    named = hvparams.get(constants.HV_KERNEL_PATH) or ""
    return str(named) if uses_direct_kernel(of(hvparams)) else ""


def without_unused(hvparams: Mapping[str, object]) -> dict[str, object]:
    """Parameters in which those of a kernel are empty, where boot_type says that there is none.

    Ganeti's default of ``kernel_path`` is a file that few nodes have: that must keep no guest from
    its start that boots from a disk.
    """
    unused = () if PARAMETER is None or kernel(hvparams) else _OF_A_KERNEL
    return {name: "" if name in unused else value for name, value in hvparams.items()}


def is_firmware(disk: objects.Disk) -> bool:
    """Whether an ``objects.Disk`` holds firmware: by its role, or marked (``mark_firmware``)."""
    hvinfo = getattr(disk, "hvinfo", None) or {}
    return _FIRMWARE_ROLE in (getattr(disk, "role", None), hvinfo.get(_ROLE))


def is_firmware_entry(disk: Mapping[str, object]) -> bool:
    """Whether a disk as a dict does, as runtime files hold it."""
    hvinfo = shapes.members(disk.get("hvinfo") or {})
    return _FIRMWARE_ROLE in (disk.get(_ROLE), hvinfo.get(_ROLE))


def mark_firmware(disk: objects.Disk) -> None:
    """Let an ``objects.Disk`` hold firmware, on a Ganeti whose disks have no role.

    The mark is in its ``hvinfo``, which runtime files of every Ganeti keep, and so it stays with a
    guest whatever the disk is called later.
    """
    disk.hvinfo = {_ROLE: _FIRMWARE_ROLE}


def numbered_data_disks(block_devices: Iterable[BlockDevice]) -> list[tuple[int, BlockDevice]]:
    """Those of the guest's (``objects.Disk``, link, URI) that it sees as disks.

    Each has its number among all, as Ganeti counts them: the firmware may be at any place.
    """
    return [
        (index, entry) for index, entry in enumerate(block_devices) if not is_firmware(entry[0])
    ]


def data_disks(block_devices: Iterable[BlockDevice]) -> list[BlockDevice]:
    """The same without their numbers."""
    return [entry for _, entry in numbered_data_disks(block_devices)]
