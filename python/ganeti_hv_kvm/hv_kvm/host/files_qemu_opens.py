"""What a guest's new QEMU will open on this node: is it there, before the old QEMU ends?

Only local files and block devices are looked at. What QEMU reaches over the network by itself
(rbd, gluster, web servers) cannot be asked about without waiting for it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping

from ganeti import constants, errors, utils

from ganeti_hv_kvm.hv_kvm.devices import places
from ganeti_hv_kvm.hv_kvm.ganeti import boot_type
from ganeti_hv_kvm.hv_kvm.ganeti.block_devices import BlockDevice
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import text_or_none

_IMAGES = (
    constants.HV_CDROM_IMAGE_PATH,
    constants.HV_KVM_CDROM2_IMAGE_PATH,
    constants.HV_KVM_FLOPPY_IMAGE_PATH,
)


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
