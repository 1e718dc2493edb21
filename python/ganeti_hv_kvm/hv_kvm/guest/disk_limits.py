"""How much a guest may read and write: tags, or upstream's parameters disk_iops and disk_bps.

QEMU is told by ``block_set_io_throttle``. That is no part of the guest's command line, nor of its
migration: it is told again at each start, to the QEMU that waits for a migration, and of each disk
that is added.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.devices.places import device_id
from ganeti_hv_kvm.hv_kvm.ganeti.block_devices import BlockDevice
from ganeti_hv_kvm.hv_kvm.ganeti.guest_options import DiskLimit, Options
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import number_or_zero
from ganeti_hv_kvm.hv_kvm.qemu.verbs import disks as verbs
from ganeti_hv_kvm.qmp_values import forms

if TYPE_CHECKING:
    from ganeti_hv_kvm.hv_kvm.monitor import QmpConnection
    from ganeti_hv_kvm.qmp_values.replies import BlockInfo

_IOPS: str | None = getattr(constants, "HV_DISK_IOPS", None)
_BPS: str | None = getattr(constants, "HV_DISK_BPS", None)

#: What becomes of limits while a tag is wrong that may be meant as one.
LIMITS_STAY = "its disks keep the limits that they have"
#: QEMU counts in 64 bits with a sign.
_MOST = (1 << 63) - 1


class DiskLimits(NamedTuple):
    """What a disk, or all disks of a guest together, may do; 0 is no limit.

    Attributes:
        iops: requests a second, reads and writes together.
        bps: bytes a second, likewise.
    """

    iops: int = 0
    bps: int = 0

    def __bool__(self) -> bool:
        return bool(self.iops or self.bps)


class GuestLimits(NamedTuple):
    """The limits of a guest.

    Attributes:
        common: of all disks together, but for those with limits of their own.
        own: of single disks, by their number.
    """

    common: DiskLimits = DiskLimits()
    own: Mapping[int, DiskLimits] = {}

    def __bool__(self) -> bool:
        return bool(self.common) or any(self.own.values())


def of(hvparams: Mapping[str, object], options: Options) -> GuestLimits:
    """Give a guest's limits: by tag, else by its parameters, where Ganeti has such.

    What a disk with a limit of its own does not say itself it gets from those of all, for itself
    alone: in QEMU a disk is in one group.
    """
    common = _filled(
        options.limit_of_all_disks,
        DiskLimits(
            iops=number_or_zero(hvparams, _IOPS) if _IOPS else 0,
            bps=number_or_zero(hvparams, _BPS) if _BPS else 0,
        ),
    )
    own = options.limits_of_a_disk
    return GuestLimits(common, {number: _filled(own[number], common) for number in own})


def _filled(wanted: DiskLimit, rest: DiskLimits) -> DiskLimits:
    return DiskLimits(
        rest.iops if wanted.iops is None else wanted.iops,
        rest.bps if wanted.bps is None else wanted.bps,
    )


def apply(
    qmp: QmpConnection,
    limits: GuestLimits,
    disks: Iterable[tuple[int, BlockDevice]],
    instance_uuid: str,
    kept: Iterable[str] = (),
) -> None:
    """Let disks have their limits; what was set before is replaced, also by none.

    Args:
        qmp: the guest's monitor, connected.
        disks: each with its number among the guest's disks.
        instance_uuid: QEMU's name for what shares the limits.
        kept: "iops", "bps": those that stay as they are in QEMU.

    Raises:
        errors.HypervisorError: a disk is not found in QEMU, or QEMU refuses; the disks before it
            have their limits.
    """
    found = _block_devices(verbs.query_block(qmp))
    for number, entry in disks:
        devid, device = _id(entry), _find(found, entry)
        if device is None:
            raise errors.HypervisorError(
                f"the limits of disk {entry[0].uuid} cannot be set: QEMU has no disk {devid}"
            )
        limit, group = limits.common, instance_uuid
        if number in limits.own:
            limit, group = limits.own[number], f"{instance_uuid}-{devid}"
        limit = limit._replace(**{kind: getattr(device.limits, kind) for kind in kept})
        verbs.block_set_io_throttle(qmp, device.name, group, iops=limit.iops, bps=limit.bps)


def in_force(qmp: QmpConnection, disks: Iterable[BlockDevice]) -> list[DiskLimits | None]:
    """Ask a connected QEMU for the limits of disks; None for one that it does not have.

    Raises:
        errors.HypervisorError: it does not tell.
    """
    found = _block_devices(verbs.query_block(qmp))
    seen = [_find(found, entry) for entry in disks]
    return [device.limits if device else None for device in seen]


def _id(entry: BlockDevice) -> str:
    disk = entry[0]
    return str((disk.hvinfo or {}).get("id") or device_id(constants.HOTPLUG_TARGET_DISK, disk))


def _find(found: Mapping[str, _BlockDevice], entry: BlockDevice) -> _BlockDevice | None:
    return found.get(_id(entry)) or found.get(entry[1])


class _BlockDevice(NamedTuple):
    """A disk in QEMU: how its block commands know it, and its limits."""

    name: str
    limits: DiskLimits


def _block_devices(answer: Iterable[BlockInfo]) -> dict[str, _BlockDevice]:
    """The disks of QEMU's answer to query-block, by their ids.

    The name of a virtio disk is a path in QEMU's object tree, that of another one its id. An IDE
    disk has no id: it is found by its block node, which is named after the disk, or by its file.
    """
    found: dict[str, _BlockDevice] = {}
    for entry in answer:
        name = entry.get("qdev")
        if isinstance(name, str):
            inserted = forms.an_object("query-block", entry.get("inserted", {}))
            device = _BlockDevice(
                name, DiskLimits(_limit(inserted, "iops"), _limit(inserted, "bps"))
            )
            path = name.removesuffix("/virtio-backend")
            for alias in (
                path.rpartition("/")[2],
                inserted.get("node-name"),
                entry.get("device"),
                inserted.get("file"),
            ):
                if isinstance(alias, str) and alias:
                    found.setdefault(alias, device)
    return found


def _limit(inserted: Mapping[str, object], name: str) -> int:
    return forms.a_number("query-block", inserted.get(name, 0), _MOST)
