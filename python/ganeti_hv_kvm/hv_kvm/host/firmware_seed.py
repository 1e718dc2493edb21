"""The firmware disk of a Ganeti that makes none: known by its name, filled at the first start.

Only a disk that is blank is written to, or one on which this was begun and broke off: each of its
sectors is zero, or is what would be written there. The superblock comes last, so that a disk that
has one is whole.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple, NoReturn

from ganeti_hv_kvm.hv_kvm import firmware
from ganeti_hv_kvm.hv_kvm.firmware import REGION_CODE, REGION_VARS, SECTOR_SIZE, Layout
from ganeti_hv_kvm.hv_kvm.ganeti import boot_type, guest_options
from ganeti_hv_kvm.hv_kvm.ganeti.block_devices import BlockDevice

from . import firmware_disk, firmware_image

#: What such a disk is called in Ganeti, disk parameter ``name``.
NAME = "firmware"

#: Code and variables as packages install them, the first pair that is there: Debian's; Debian 12's
#: older ones; Fedora's.
TEMPLATES = (
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
)
#: Bytes of a template, more than QEMU takes: one that is too large is seen to be.
_MOST_OF_A_TEMPLATE = 16 << 20
#: Bytes; a larger disk is not looked through, as it was hardly made for this. Ganeti's own policy
#: wants at least 1 GiB of each disk.
_MOST = 2 << 30
_AT_ONCE = 1 << 20


class Seed(NamedTuple):
    """What a blank disk gets.

    Attributes:
        layout: where its regions lie.
        regions: the content of each.
    """

    layout: Layout
    regions: Mapping[str, bytes]

    @property
    def needs_smm(self) -> bool:
        """Whether the code is made for system management mode."""
        return firmware_image.needs_smm(self.regions[REGION_CODE])


def choose(name: str, block_devices: Iterable[BlockDevice]) -> None:
    """Let the disk that is called so hold the firmware, where none has that role.

    Args:
        name: the instance's.
        block_devices: its disks.

    Raises:
        errors.HypervisorError: there is none, or more than one.
    """
    disks = list(block_devices)
    if firmware_disk.find(disks):
        return
    named = [disk for disk, _, _ in disks if getattr(disk, "name", None) == NAME]
    if len(named) != 1:
        found = f"{len(named)} of its disks have" if named else "none of its disks has"
        _refuse(
            name,
            f"{found} the name {NAME}, and one has to (gnt-instance modify"
            f" --disk add:size=32M,name={NAME} {name})",
        )
    boot_type.mark_firmware(named[0])


def planned(name: str, block_devices: Iterable[BlockDevice]) -> Seed | None:
    """Tell what is to be written to the firmware disk of an instance that is down.

    Returns:
        None where the disk holds firmware, or there is none.

    Raises:
        errors.HypervisorError: the disk cannot be read, is neither blank nor a firmware disk, or
            does not fit; or this node has no firmware.
    """
    entry = firmware_disk.find(block_devices)
    if entry is None:
        return None
    link = firmware_disk.device_of(name, entry)
    try:
        with open(link, "rb", buffering=0) as device:
            if os.pread(device.fileno(), SECTOR_SIZE, 0).startswith(firmware.MAGIC):
                return None
            seed = _of_templates(name)
            _check_is_blank(name, link, device.fileno(), seed)
    except OSError as err:
        _refuse(name, f"its firmware disk cannot be read: {err}")
    return seed


def fill(name: str, block_devices: Iterable[BlockDevice]) -> None:
    """Fill the firmware disk of an instance that is down, if it is blank.

    Raises:
        errors.HypervisorError: as for ``planned``; or it cannot be written, and the next start
            takes it from there.
    """
    disks = list(block_devices)
    seed, entry = planned(name, disks), firmware_disk.find(disks)
    if seed and entry:
        _write(name, firmware_disk.device_of(name, entry), seed)
        logging.info("The firmware disk of %s was blank, and holds UEFI firmware now", name)


def _write(name: str, link: str, seed: Seed) -> None:
    try:
        device = os.open(link, os.O_WRONLY | os.O_CLOEXEC)
        try:
            for region, content in seed.regions.items():
                _write_all(device, content, seed.layout[region][0])
            os.fsync(device)
            _write_all(device, firmware.PackSuperblock(seed.layout), 0)
            os.fsync(device)
        finally:
            os.close(device)
    except OSError as err:
        _refuse(name, f"{link}, its firmware disk, cannot be written: {err}")


def _write_all(device: int, content: bytes, offset: int) -> None:
    rest = memoryview(content)
    while rest:
        written = os.pwrite(device, rest, offset)
        rest, offset = rest[written:], offset + written


def _of_templates(name: str) -> Seed:
    for paths in TEMPLATES:
        if all(map(os.path.exists, paths)):
            break
    else:
        _refuse(
            name,
            "its firmware disk is blank, and this node has no UEFI firmware to put there:"
            f" {', '.join(code for code, _ in TEMPLATES)} are not there (install the package ovmf)",
        )
    regions = {}
    for region, path in zip((REGION_CODE, REGION_VARS), paths, strict=True):
        with open(path, "rb") as file:
            regions[region] = file.read(_MOST_OF_A_TEMPLATE)
    layout = firmware.ComputeLayout(len(regions[REGION_CODE]), len(regions[REGION_VARS]))
    if why := firmware_disk.why_unfit(layout):
        _refuse(name, f"{' and '.join(paths)} make no firmware disk: {why}. Nothing was written")
    return Seed(layout, regions)


def _check_is_blank(name: str, link: str, device: int, seed: Seed) -> None:
    size, needed = os.lseek(device, 0, os.SEEK_END), firmware.RequiredDiskSize(seed.layout)
    if not needed <= size <= _MOST:
        _refuse(
            name,
            f"{link}, its disk named {NAME}, has {size} bytes; UEFI firmware needs {needed}, and a"
            f" disk of more than {_MOST} is not taken for one of firmware. Nothing was written",
        )
    whole = bytearray(needed)
    for region, content in seed.regions.items():
        begin = seed.layout[region][0]
        whole[begin : begin + len(content)] = content
    offset = 0
    while found := os.pread(device, _AT_ONCE, offset):
        at = _first_foreign(found, whole[offset : offset + len(found)])
        if at is not None:
            _refuse(
                name,
                f"{link}, its disk named {NAME}, is neither blank nor a firmware disk: there is"
                f" something in the sector at byte {offset + at}. Nothing was written. If nobody"
                " needs what is on it, fill it with zeros (docs/options.md says how)",
            )
        offset += len(found)


def _first_foreign(found: bytes, own: bytearray) -> int | None:
    """Where the first sector begins that is neither zero nor our own; None if there is none."""
    if found in (own, bytes(len(found))):
        return None
    for at in range(0, len(found), SECTOR_SIZE):
        sector = found[at : at + SECTOR_SIZE]
        if sector not in (own[at : at + len(sector)], bytes(len(sector))):
            return at
    return None


def _refuse(name: str, why: str) -> NoReturn:
    guest_options.refuse(name, [f"tag {guest_options.PREFIX}{NAME}: {why}"])
