"""What a guest's new QEMU will open on this node: is it there, before the old QEMU ends?

Only local files and block devices are looked at. What QEMU reaches over the network by itself
(rbd, gluster, web servers) cannot be asked about without waiting for it.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from ganeti import constants, errors, utils

from ganeti_hv_kvm.hv_kvm.command_line.option import parsed
from ganeti_hv_kvm.hv_kvm.devices import places
from ganeti_hv_kvm.hv_kvm.ganeti import boot_type
from ganeti_hv_kvm.hv_kvm.ganeti.block_devices import BlockDevice
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import text_or_none

_IMAGES = (
    constants.HV_CDROM_IMAGE_PATH,
    constants.HV_KVM_CDROM2_IMAGE_PATH,
    constants.HV_KVM_FLOPPY_IMAGE_PATH,
)

# Words of kvm_extra and usb_devices: switches whose value is a file, and properties of others'.
_FILE = frozenset(
    (
        *("-cdrom", "-dtb", "-fda", "-fdb", "-hda", "-hdb", "-hdc", "-hdd"),
        *("-initrd", "-kernel", "-mtdblock", "-pflash", "-sd"),
    )
)
_FILE_IN: Mapping[str, tuple[str, ...]] = {
    "-drive": ("file", "filename"),
    "-blockdev": ("filename",),
    "-object": ("filename",),
}


def check(hvp: Mapping[str, object], disks: Iterable[BlockDevice]) -> None:
    """Find out whether QEMU could open what a guest was started with.

    Args:
        hvp: parameters of the guest's first start, as its command line was made of them.
        disks: its disks, as in the runtime file: (``objects.Disk``, path of the device, URI).

    Raises:
        errors.HypervisorError: all that is missing, each with the reason.
    """
    missing = [
        f"{what}: {reason}"
        for what, path in _of_parameters(hvp)
        if (reason := _why_not(path, is_folder=what == constants.HV_MEM_PATH))
    ]
    missing += [
        f"{what}: {reason}"
        for what, path in _of_disks(disks)
        if (reason := _why_not(path, for_writing=True))
    ]
    if missing:
        raise errors.HypervisorError("; ".join(missing))


def check_words(command: Sequence[str]) -> None:
    """Find out whether QEMU could open the files that a command line names.

    Args:
        command: all arguments, with the administrator's own.

    Raises:
        errors.HypervisorError: all that is missing, each with the reason.
    """
    missing = [
        f"{switch}: {reason}"
        for switch, path in _of_words(command)
        if _is_on_this_node(path) and (reason := _why_not(path))
    ]
    if missing:
        raise errors.HypervisorError("; ".join(dict.fromkeys(missing)))


def _is_on_this_node(path: str) -> bool:
    # the other is a set of descriptors that QEMU was given
    return os.path.isabs(path) and not path.startswith("/dev/fdset/")


def _of_words(command: Sequence[str]) -> Iterator[tuple[str, str]]:
    for switch, value in pairwise(command):
        if switch in _FILE:
            yield switch, value
        for name, path in _properties(value) if switch in _FILE_IN else ():
            if name.rpartition(".")[2] in _FILE_IN[switch]:
                yield switch, path


def _properties(value: str) -> Iterable[tuple[str, str]]:
    if not value.startswith("{"):
        return parsed(value).items()
    try:
        return _in_json(json.loads(value))
    except ValueError:
        return ()  # QEMU will say what is wrong with it


def _in_json(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield from _in_json(inner, str(key))


def _of_parameters(hvp: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    kernel = (constants.HV_KERNEL_PATH, constants.HV_INITRD_PATH)
    names = (*(kernel if boot_type.kernel(hvp) else ()), *_IMAGES, constants.HV_MEM_PATH)
    for name in names:
        path = text_or_none(hvp, name)
        if path and not utils.IsUrl(path):
            yield name, path


def _of_disks(disks: Iterable[BlockDevice]) -> Iterator[tuple[str, str]]:
    for seq, (disk, link, uri) in enumerate(disks):
        if places.drive_uri(disk, link, uri) == link:
            yield f"disk {seq}", link


def _why_not(path: str, *, is_folder: bool = False, for_writing: bool = False) -> str | None:
    """Why QEMU cannot open it, as far as that can be told without QEMU; None if it can."""
    flags = os.O_NONBLOCK | os.O_CLOEXEC
    try:
        # A block device without its storage is a file like any other until it is opened, and one
        # that has become read-only tells so then.
        fd = os.open(path, flags | (os.O_RDWR if for_writing else os.O_RDONLY))
    except IsADirectoryError:
        return f"{path} is neither a file nor a device"
    except OSError as err:
        return str(err)
    try:
        mode = os.fstat(fd).st_mode
    finally:
        os.close(fd)
    if is_folder:
        return None if stat.S_ISDIR(mode) else f"{path} is no folder"
    if stat.S_ISREG(mode) or stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
        return None  # scsi-generic disks are character devices
    return f"{path} is neither a file nor a device"
