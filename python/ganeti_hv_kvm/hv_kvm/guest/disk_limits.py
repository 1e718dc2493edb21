"""How much a guest may read and write: upstream's parameters disk_iops and disk_bps.

QEMU is told by ``block_set_io_throttle``. That is no part of the guest's command line, nor of its
migration: it is told again at each start, to the QEMU that waits for a migration, and of each disk
that is added.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.devices import device_id

_IOPS: str | None = getattr(constants, "HV_DISK_IOPS", None)
_BPS: str | None = getattr(constants, "HV_DISK_BPS", None)


class DiskLimits(NamedTuple):
    """What all disks of a guest may do together; 0 is no limit.

    Attributes:
        iops: requests a second, reads and writes together.
        bps: bytes a second, likewise.
    """

    iops: int = 0
    bps: int = 0

    def __bool__(self) -> bool:
        return bool(self.iops or self.bps)


def of(hvparams: Mapping[str, Any]) -> DiskLimits:
    """Give the limits that a guest's parameters ask for, where Ganeti has such parameters."""
    return DiskLimits(
        iops=int(hvparams.get(_IOPS) or 0) if _IOPS else 0,
        bps=int(hvparams.get(_BPS) or 0) if _BPS else 0,
    )


def apply(qmp: Any, limits: DiskLimits, disks: Iterable[Any], group: str) -> None:
    """Let the disks share the limits; a limit that was set before is replaced.

    Args:
        qmp: the guest's monitor, connected.
        disks: Ganeti's ``objects.Disk``, with their ``hvinfo``.
        group: QEMU's name for what shares the limits, such as the instance's UUID.

    Raises:
        errors.HypervisorError: a disk is not found in QEMU, or QEMU refuses; the disks before it
            have their limits.
    """
    found = _block_devices(qmp.execute_qmp("query-block"))
    for disk in disks:
        devid = (disk.hvinfo or {}).get("id") or device_id(constants.HOTPLUG_TARGET_DISK, disk)
        if devid not in found:
            raise errors.HypervisorError(
                f"the limits of disk {disk.uuid} cannot be set: QEMU has no disk {devid}"
            )
        arguments = dict.fromkeys(("bps_rd", "bps_wr", "iops_rd", "iops_wr"), 0)
        arguments |= {"bps": limits.bps, "iops": limits.iops}
        qmp.execute_qmp("block_set_io_throttle", {**arguments, "id": found[devid], "group": group})


def _block_devices(answer: Any) -> dict[str, str]:
    """The name by which QEMU's block commands know a disk, by the disk's id.

    That of a virtio disk is a path in QEMU's object tree, that of another one its id; an IDE disk
    has no id, and is found by its block node or drive, which is named after the disk too.
    """
    found: dict[str, str] = {}
    for entry in answer if isinstance(answer, list) else ():
        name = entry.get("qdev") if isinstance(entry, dict) else None
        if isinstance(name, str):
            inserted = entry.get("inserted")
            node = inserted.get("node-name") if isinstance(inserted, dict) else None
            path = name.removesuffix("/virtio-backend")
            for alias in (path.rpartition("/")[2], node, entry.get("device")):
                if isinstance(alias, str) and alias:
                    found.setdefault(alias, name)
    return found
