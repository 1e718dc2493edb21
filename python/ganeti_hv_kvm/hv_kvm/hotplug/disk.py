"""Adding a disk to a running guest."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.command_line import block_node, drive
from ganeti_hv_kvm.hv_kvm.devices.description import Backend
from ganeti_hv_kvm.hv_kvm.devices.places import drive_uri, is_userspace
from ganeti_hv_kvm.hv_kvm.ganeti import generation
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import text
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.guest.undo import Undo
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime
from ganeti_hv_kvm.hv_kvm.kvm_utils import GetCacheSettings
from ganeti_hv_kvm.hv_kvm.qemu.verbs import control, disks
from ganeti_hv_kvm.qmp_values.migration import quote

from .device import HotplugDevice

if TYPE_CHECKING:
    from ganeti_hv_kvm.hv_kvm.monitor import QmpConnection

#: Seconds for QEMU to reach a storage by itself, over the network.
STORAGE_TIMEOUT = 30.0

# The first QEMU with that property; before it, files are opened for writing at once.
_AUTO_READ_ONLY = (3, 1)


def add(guest: Guest, runtime: KVMRuntime, dev: HotplugDevice, undo: Undo) -> None:
    """Give the guest a disk whose place is in its ``hvinfo``.

    Its parameters are those that a restart, or the target of a migration, makes from the runtime
    file: a guest must not find another kind of cache, or of id, on the other side.
    """
    if dev.device.mode != constants.DISK_RDWR:
        raise errors.HotplugError("it is read-only; KVM disks cannot be")
    undo.add(f"{dev.devid} in QEMU", lambda: remove(guest, dev.devid))
    with guest.monitor() as qmp:
        if generation.DIALECT.blockdev:
            _add_block_node(qmp, guest.hvp(runtime), dev)
        else:
            _add_drive(qmp, guest, guest.hvp(runtime), dev)


def remove(guest: Guest, devid: str) -> None:
    """Take a disk away, as far as it is there."""
    with guest.monitor() as qmp:
        disks.remove(qmp, devid)


def remove_backend(guest: Guest, devid: str) -> None:
    """Close the storage of a disk that the guest has no more."""
    with guest.monitor() as qmp:
        disks.remove_block_backend(qmp, devid)


def _add_block_node(qmp: QmpConnection, hvp: dict[str, object], dev: HotplugDevice) -> None:
    disk, link, uri = dev.entry
    node = block_node(
        drive_uri(disk, link, uri),
        disk,
        hvp,
        dev.devid,
        has_auto_read_only=qmp.version is not None and qmp.version >= _AUTO_READ_ONLY,
    )
    writeback, direct, _ = GetCacheSettings(text(hvp, constants.HV_DISK_CACHE), disk.dev_type)
    remote = is_userspace(disk)
    disks.add_with_node(
        qmp,
        disk,
        constants.DISK_USERSPACE if remote else constants.DISK_KERNELSPACE,
        writeback,
        direct,
        node.as_qmp(),
        timeout=max(qmp.timeout, STORAGE_TIMEOUT) if remote else None,
    )


def _add_drive(
    qmp: QmpConnection, guest: Guest, hvp: dict[str, object], dev: HotplugDevice
) -> None:
    disk, link, uri = dev.entry
    target = drive_uri(disk, link, uri)
    words = drive(disk, target, hvp, guest.facts()).as_qmp()
    del words["file"]
    timeout = max(qmp.timeout, STORAGE_TIMEOUT) if is_userspace(disk) else None

    def add_drive(filename: str) -> None:
        opened = Backend(_opened(target, filename) | words)
        command = f'drive_add dummy "{_quoted(opened.as_argument())}"'
        said = control.human_monitor_command(qmp, command, timeout=timeout).strip()
        if said != "OK":
            raise errors.HotplugError(
                f"QEMU refused drive_add: {quote(said) if said else 'it said nothing'}"
            )

    disks.add_with_drive(
        qmp, disk, dev.devid, target, add_drive, direct=words.get("cache") == "none"
    )


def _opened(target: str, filename: str) -> dict[str, str]:
    """How QEMU is to open a drive's storage, which it gets by the name ``filename``."""
    if filename != target and stat.S_ISBLK(os.stat(target).st_mode):
        # It tells a block device by its path, which a descriptor does not have.
        return {"file.driver": "host_device", "file.filename": filename}
    return {"file": filename}


def _quoted(text: str) -> str:
    """A text between the quotation marks of QEMU's human monitor."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
