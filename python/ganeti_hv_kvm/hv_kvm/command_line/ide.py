"""Where IDE disks and CD-ROMs sit, said in the words of -device: ``bus=ide.N,unit=M``.

Ganeti 3.0 starts them with -drive if=ide, and QEMU gives them the places from the first one on; 3.1
starts them with -device, and QEMU gives them those of its last bus. So a guest that 3.0 started and
that 3.1 takes over, by the words of 3.1 alone, would find its disks at other places: it was seen to
lose them in the middle of its work. Hence a place is said, and is the one that the guest was born
with. A pc has two buses with two places each, a q35 six with one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.devices import q35

from . import named_places

#: Whose words started a guest.
DRIVE, BLOCKDEV = "drive", "blockdev"

_DISK = "ide-hd"
_PC_PLACES = 4
_Q35_CDROMS = ((0, 0), (1, 0))
# 3.1's QEMU knows no more than its last bus.
_LAST_BUS = ((1, 0), (1, 1))
_LAST_PORT = ((5, 0),)
# A CD-ROM drive without a disc, which QEMU adds by itself at the third place...
_EMPTY_CDROM = 2
# ... unless one of these is among the devices.
_HIDES_EMPTY_CDROM = re.compile(r"""(?:.*"driver": *")?(?:ide|scsi)-(?:hd|cd)\b""")
# Old switches that are drives at fixed places.
_FIXED = {"-hda": 0, "-hdb": 1, "-cdrom": 2, "-hdc": 2, "-hdd": 3}
_MACHINE = ("-machine", "-M")
_IDE_WITHOUT_PLACE = re.compile(r"ide-(?:hd|cd)(?:,(?!bus=)[^,]*)*")
_IMAGES = (
    constants.HV_CDROM_IMAGE_PATH,
    constants.HV_KVM_CDROM2_IMAGE_PATH,
    constants.HV_KVM_FLOPPY_IMAGE_PATH,
)
_IMAGE_NODE = re.compile(r"node-name=(?:cdrom[12]|floppy1)\b")

Place = tuple[int, int]
"""Bus and unit."""


def place_words(place: Place) -> dict[str, object]:
    """A place as the properties of -device."""
    bus, unit = place
    return {"bus": f"ide.{bus}", "unit": unit}


def is_placed(hvinfo: Mapping[str, object] | None) -> bool:
    """Whether a disk's hvinfo says a place on an IDE bus."""
    return str((hvinfo or {}).get("bus", "")).startswith("ide.")


def hvinfo(own: Mapping[str, object], place: Place) -> dict[str, object]:
    """The hvinfo of an IDE disk at a place; ``own`` is the one that Ganeti has for it."""
    return {"driver": _DISK, "id": own.get("id"), **place_words(place)}


def device_words(hvinfo: Mapping[str, object] | None) -> dict[str, object]:
    """-device's driver of an IDE disk, and its place, where that is known."""
    place = {key: hvinfo[key] for key in ("bus", "unit")} if hvinfo and is_placed(hvinfo) else {}
    return {"driver": _DISK, **place}


def _counted(index: int, is_q35: bool) -> Place:
    """The place with this number, as -drive counts."""
    return (index, 0) if is_q35 else divmod(index, 2)


def new_places(cdroms: int, disks: int, *, is_q35: bool, extra: Sequence[str] = ()) -> list[Place]:
    """Places for CD-ROMs and then disks that are started with -device, for a new guest.

    Where QEMU, told nothing, has room for them, these are the places it would give: Ganeti's own
    module may take the guest over. ``extra`` are the words of kvm_extra, which may have drives of
    its own. Raises HypervisorError if they are too many.
    """
    if is_q35:
        return list(_Q35_CDROMS[:cdroms])  # its disks are of another type
    wanted = cdroms + disks
    taken = named_places.on_ide(extra)
    taken |= {_counted(number, is_q35) for number in _readable_drives(extra)}
    every = (_counted(number, is_q35) for number in range(_PC_PLACES))
    free = [place for place in every if place not in taken]
    if wanted > len(free):
        own = f", {_PC_PLACES - len(free)} of them for {constants.HV_KVM_EXTRA}" if taken else ""
        raise errors.HypervisorError(
            f"no place for {wanted} IDE disks and CD-ROMs: the machine has {_PC_PLACES}{own}; set"
            f" {constants.HV_DISK_TYPE} or {constants.HV_KVM_CDROM_DISK_TYPE} to another type"
        )
    on_last_bus = [place for place in free if place in _LAST_BUS]
    return (on_last_bus if wanted <= len(on_last_bus) else free)[:wanted]


def _readable_drives(extra: Sequence[str]) -> set[int]:
    try:
        return _taken_by_drives(extra, is_q35=False)
    except ValueError:
        return set()  # QEMU says what is wrong with it


def _index_of(drive: str, is_q35: bool) -> int | None:
    """The place number that a -drive says; None if it says none; -1 if it is not for IDE."""
    words = dict(word.partition("=")[::2] for word in drive.split(","))
    if words.get("if", "ide") != "ide":
        return -1
    if "index" in words:
        return int(words["index"])
    if "bus" in words or "unit" in words:
        bus, unit = int(words.get("bus", 0)), int(words.get("unit", 0))
        return bus if is_q35 else 2 * bus + unit
    return None


def _taken_by_drives(command: Sequence[str], is_q35: bool) -> set[int]:
    taken: set[int] = set()
    for switch, value in pairwise(command):
        index = _FIXED.get(switch, -1)
        if switch == "-drive":
            found = _index_of(value, is_q35)
            index = _first_free(taken) if found is None else found
        if index >= 0:
            taken.add(index)
    return taken


def _first_free(taken: Iterable[int]) -> int:
    occupied = set(taken)
    return next(number for number in range(len(occupied) + 1) if number not in occupied)


def origin(command: Sequence[str], hvp: Mapping[str, object]) -> str | None:
    """Tell whose words started a guest, as far as its stored command and parameters show it.

    Returns None where both would have stored the same.
    """
    if any(hvp.get(name) for name in _IMAGES):
        own = (value for switch, value in pairwise(command) if switch == "-blockdev")
        return BLOCKDEV if any(map(_IMAGE_NODE.search, own)) else DRIVE
    # Up to 3.0 the chroot was stored, and discards had a value that 3.1 does not have.
    old = "-chroot" in command or hvp.get(constants.HV_DISK_DISCARD) == "default"
    return DRIVE if old else None


def old_places(command: Sequence[str], disks: int, born: str) -> tuple[list[Place], list[str]]:
    """Where QEMU put the IDE disks of a guest whose command tells it nothing about that.

    Args:
        command: the stored command, with CD-ROMs, without disks.
        disks: how many disks the guest was started with.
        born: whose words started it.

    Returns:
        The disks' places, and arguments for what else was there: the CD-ROM drive without a disc
        that QEMU adds beside -drive alone. Raises ValueError if the words cannot be read.
    """
    machine = next((value for switch, value in pairwise(command) if switch in _MACHINE), "")
    is_q35 = q35.is_q35(machine)
    taken = _taken_by_drives(command, is_q35)
    devices = [value for switch, value in pairwise(command) if switch == "-device"]
    if born == BLOCKDEV:
        others = sum(bool(_IDE_WITHOUT_PLACE.fullmatch(device)) for device in devices)
        drives = [_counted(number, is_q35) for number in taken]
        free = [place for place in (_LAST_PORT if is_q35 else _LAST_BUS) if place not in drives]
        if others + disks > len(free):
            raise ValueError(f"{others + disks} IDE devices on a bus for {len(free)}")
        return free[others : others + disks], []
    places = []
    for _ in range(disks):
        index = _first_free(taken)
        taken.add(index)
        places.append(_counted(index, is_q35))
    hidden = "-nodefaults" in command or any(map(_HIDES_EMPTY_CDROM.match, devices))
    if hidden or _EMPTY_CDROM in taken:
        return places, []
    bus, unit = _counted(_EMPTY_CDROM, is_q35)
    return places, ["-device", f"ide-cd,bus=ide.{bus},unit={unit}"]
