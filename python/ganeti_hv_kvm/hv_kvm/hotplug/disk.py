"""Adding a disk to a running guest."""

from __future__ import annotations

import itertools
import os
import stat
from typing import Any

from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm import compat, plan
from ganeti_hv_kvm.hv_kvm.command_line import Completion, block_node, storage
from ganeti_hv_kvm.hv_kvm.devices import drive_uri
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime
from ganeti_hv_kvm.hv_kvm.kvm_utils import GetCacheSettings
from ganeti_hv_kvm.hv_kvm.undo import Undo

from .guest import Guest, Plug

#: Seconds for QEMU to reach a storage by itself, over the network.
STORAGE_TIMEOUT = 30.0

_READ_WRITE_AT_ONCE = (3, 1)


def add(guest: Guest, runtime: KVMRuntime, plug: Plug, undo: Undo) -> None:
    """Give the guest a disk whose place is in its ``hvinfo``.

    Its parameters are those that a restart, or the target of a migration, makes from the runtime
    file: a guest must not find another kind of cache, or of id, on the other side.
    """
    if plug.device.mode != constants.DISK_RDWR:
        raise errors.HotplugError("it is read-only; KVM disks cannot be")
    undo.add(f"{plug.devid} in QEMU", lambda: remove(guest, plug.devid))
    with guest.monitor() as qmp:
        if compat.DIALECT.blockdev:
            _add_block_node(qmp, guest.hvp(runtime), plug)
        else:
            _add_drive(qmp, guest, guest.hvp(runtime), plug)


def remove(guest: Guest, devid: str) -> None:
    """Take a disk away, as far as it is there."""
    with guest.monitor() as qmp:
        qmp.HotDelDisk(devid)


def remove_backend(guest: Guest, devid: str) -> None:
    """Close the storage of a disk that the guest has no more."""
    with guest.monitor() as qmp:
        qmp.remove_block_backend(devid)


def _is_remote(disk: Any) -> bool:
    access = disk.params.get(constants.LDP_ACCESS, constants.DISK_KERNELSPACE)
    return bool(access == constants.DISK_USERSPACE)


def _add_block_node(qmp: Any, hvp: dict[str, Any], plug: Plug) -> None:
    disk, link, uri = plug.entry
    node = block_node(drive_uri(disk, link, uri), disk, hvp, plug.devid)
    if qmp.version >= _READ_WRITE_AT_ONCE:
        node["auto-read-only"] = False
    writeback, direct, _ = GetCacheSettings(hvp[constants.HV_DISK_CACHE], disk.dev_type)
    remote = _is_remote(disk)
    qmp.HotAddDisk(
        disk,
        constants.DISK_USERSPACE if remote else constants.DISK_KERNELSPACE,
        writeback,
        direct,
        node,
        timeout=max(qmp.timeout, STORAGE_TIMEOUT) if remote else None,
    )


def _add_drive(qmp: Any, guest: Guest, hvp: dict[str, Any], plug: Plug) -> None:
    disk, link, uri = plug.entry
    target = drive_uri(disk, link, uri)
    completion = Completion(
        instance=guest.instance,
        hvp=hvp,
        facts=guest.facts(),
        paths=plan.paths(guest.files),
        disks=[plug.entry],
    )
    drive = dict(itertools.pairwise(storage.disks(completion, ())))["-drive"]
    timeout = max(qmp.timeout, STORAGE_TIMEOUT) if _is_remote(disk) else None

    def add_drive(filename: str) -> None:
        words = drive.replace(f"file={_doubled(target)}", _opened(target, filename), 1)
        command = f'drive_add dummy "{_quoted(words)}"'
        said = qmp.HumanMonitorCommand(command, timeout=timeout).strip()
        if said != "OK":
            raise errors.HotplugError(f"QEMU refused drive_add: {said or 'it said nothing'}")

    qmp.HotAddDisk(disk, plug.devid, target, add_drive, direct="cache=none" in drive.split(","))


def _opened(target: str, filename: str) -> str:
    """How QEMU is to open a drive's storage, which it gets by the name ``filename``."""
    if filename != target and stat.S_ISBLK(os.stat(target).st_mode):
        # It tells a block device by its path, which a descriptor does not have.
        return f"file.driver=host_device,file.filename={_doubled(filename)}"
    return f"file={_doubled(filename)}"


def _doubled(text: str) -> str:
    return text.replace(",", ",,")


def _quoted(text: str) -> str:
    """A text between the quotation marks of QEMU's human monitor."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
