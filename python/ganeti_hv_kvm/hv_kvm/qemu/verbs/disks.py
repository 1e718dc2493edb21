"""Disks: a device, which the guest sees, and behind it a block node or a legacy drive.

All have one and the same id.
"""

from __future__ import annotations

import enum
import logging
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from ganeti import constants, errors

from ganeti_hv_kvm import _native
from ganeti_hv_kvm.hv_kvm.devices import description
from ganeti_hv_kvm.qmp_values import forms

from . import devices

if TYPE_CHECKING:
    from ganeti import objects

    from ganeti_hv_kvm._native import QmpConnection
    from ganeti_hv_kvm.qmp_values.replies import BlockInfo, IoThread

# QEMU frees a device a moment after it has said so, and only then lets go of the backend.
_BACKEND_GRACE = 5.0


class BlockBackend(enum.Enum):
    """What stands behind a disk."""

    NODE = "node"
    """A block node (-blockdev, ``blockdev-add``), of which QEMU removes nothing by itself."""
    DRIVE = "drive"
    """A legacy drive (-drive, ``drive_add``), which goes with its device."""

    @property
    def key(self) -> str:
        """The argument by which QMP's commands name it."""
        return "node-name" if self is BlockBackend.NODE else "device"


# Looking


def query_block(qmp: QmpConnection) -> list[BlockInfo]:
    """Ask for the disks, and what is in the guest's drives."""
    command = "query-block"
    return cast("list[BlockInfo]", forms.named(command, qmp.execute_qmp(command), "device"))


def query_iothreads(qmp: QmpConnection) -> list[IoThread]:
    """Ask for the threads that serve disks beside QEMU's main loop."""
    command = "query-iothreads"
    return cast("list[IoThread]", forms.named(command, qmp.execute_qmp(command), "id"))


def block_backend(qmp: QmpConnection, devid: str) -> BlockBackend | None:
    """Tell what QEMU has by this name."""
    if any(drive["device"] == devid for drive in query_block(qmp)):
        return BlockBackend.DRIVE
    command = "query-named-block-nodes"
    nodes = forms.objects(command, qmp.execute_qmp(command))
    return BlockBackend.NODE if any(node.get("node-name") == devid for node in nodes) else None


# Adding and changing


def add_with_node(  # noqa: PLR0917
    qmp: QmpConnection,
    disk: objects.Disk,
    access_mode: str,
    cache_writeback: bool,
    direct: bool,
    blockdevice: Mapping[str, object],
    *,
    timeout: float | None = None,
) -> None:
    """Give the guest a disk as Ganeti 3.1 and later describe it; what fails half-way stays.

    Args:
        disk: Ganeti's ``objects.Disk``, with its place in ``hvinfo``.
        access_mode: with "kernelspace" the file is opened here, for QEMU may not be allowed to.
        cache_writeback: the guest sees a write cache.
        direct: the block node bypasses the host's cache.
        blockdevice: arguments of ``blockdev-add``; they are not changed.
        timeout: seconds for opening the storage; None for the connection's own.
    """
    node, fdset = dict(blockdevice), None
    backend = str(node["node-name"])
    if access_mode == constants.DISK_KERNELSPACE:
        file = node.get("file")
        if not isinstance(file, Mapping):
            raise errors.HotplugError(f"the block node {backend} names no file; nothing was added")
        fdset = devices.add_file(qmp, file["filename"], backend, direct)
        node["file"] = {**file, "filename": f"/dev/fdset/{fdset}"}
    qmp.execute_qmp("blockdev-add", node, timeout=timeout)
    devices.device_add(qmp, description.disk(disk.hvinfo, backend, cache_writeback).as_qmp())
    if fdset is not None:
        devices.remove_fd(qmp, fdset)


def add_with_drive(
    qmp: QmpConnection,
    disk: objects.Disk,
    devid: str,
    uri: str,
    drive_add_fn: Callable[[str], object] | None = None,
    *,
    direct: bool = False,
) -> None:
    """Give the guest a disk as Ganeti 3.0 describes it; what fails half-way stays as it is.

    A block node in its place would work as well, until Ganeti 3.0's own module takes over: its way
    to remove a disk, ``drive_del`` right behind ``device_del``, fails for a node that the guest
    still uses and is not tried again, so that QEMU would hold the storage open for good.

    Args:
        disk: Ganeti's ``objects.Disk``, with its place in ``hvinfo``.
        uri: a file, which is opened here, or what QEMU opens by itself.
        drive_add_fn: adds the drive, given the name of the file to open.
        direct: the drive bypasses the host's cache.
    """
    fdset, filename = None, uri
    if os.path.exists(uri):
        fdset = devices.add_file(qmp, uri, devid, direct)
        filename = f"/dev/fdset/{fdset}"
    if drive_add_fn:
        drive_add_fn(filename)
    else:
        logging.warning("Disk %s gets QEMU's defaults: no drive_add_fn was given", devid)
        protocol = {"driver": "file", "filename": filename}
        qmp.execute_qmp("blockdev-add", {"driver": "raw", "node-name": devid, "file": protocol})
    devices.device_add(qmp, description.disk(disk.hvinfo, devid, None).as_qmp())
    if fdset is not None:
        devices.remove_fd(qmp, fdset)


def block_resize(qmp: QmpConnection, disk_id: str, new_size: int) -> None:
    """Let the guest see that a disk now has ``new_size`` bytes.

    Works for a block node and for the legacy drive of a guest that Ganeti 3.0 started.
    """
    backend = block_backend(qmp, disk_id)
    if backend is None:
        raise errors.HotplugError(f"QEMU has no disk {disk_id}; nothing was resized")
    qmp.execute_qmp("block_resize", {backend.key: disk_id, "size": new_size})


def block_set_io_throttle(
    qmp: QmpConnection, device: str, group: str, *, iops: int, bps: int
) -> None:
    """Limit a disk, in place of what was set before.

    Args:
        device: QEMU's name for it (``qdev``).
        group: the disks of one group share the limits.
        iops: requests a second, and
        bps: bytes a second, reads and writes together; 0 is no limit.
    """
    limits = dict.fromkeys(("bps_rd", "bps_wr", "iops_rd", "iops_wr"), 0)
    limits |= {"bps": bps, "iops": iops}
    qmp.execute_qmp("block_set_io_throttle", {**limits, "id": device, "group": group})


# Removing; each may be done again after any failure: it looks first at what is left to do.


def remove_block_backend(qmp: QmpConnection, devid: str) -> None:
    """Close the storage of a disk whose device has gone; none is fine as well.

    Raises:
        errors.HotplugError: something in QEMU still uses it; it was left alone.
    """
    outcome, why = _native.close_storage(qmp, devid, _BACKEND_GRACE)
    logging.debug("QMP blockdev-del %s: %s", devid, why or outcome)
    if outcome == "in use":
        raise errors.HotplugError(f"the guest still has {devid}; its storage was left alone")
    if outcome == "held":
        raise errors.HotplugError(
            f"QEMU still holds the storage of {devid}: {why}. The device itself is"
            " not in the guest; the removal can be tried again"
        )


def remove(qmp: QmpConnection, devid: str) -> None:
    """Take a disk from the guest, and close its storage once the guest has let go."""
    devices.release_device(qmp, devid)
    remove_block_backend(qmp, devid)
