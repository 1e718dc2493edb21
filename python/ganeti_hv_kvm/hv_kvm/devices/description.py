"""A disk or NIC, and what is behind it on the host, as values with two renderings.

``as_argument`` words it for QEMU's command line, ``as_qmp`` for ``device_add``, ``blockdev-add``
and ``netdev_add``. So a device that was hot-plugged is, in every property, the one that a restart
or the target of a migration makes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypedDict

from ganeti import constants

from ganeti_hv_kvm.hv_kvm.kvm_utils import (
    DictToQemuStringNotation,
    Escape,
    TranslateBoolToOnOff,
)

#: -device's properties of a disk or NIC as Ganeti stores them, the driver among them.
HvInfo = Mapping[str, object]

# These hand the guest's commands to the host's device and have no cache to switch.
_PASSTHROUGH = frozenset({constants.HT_DISK_SCSI_BLOCK, constants.HT_DISK_SCSI_GENERIC})

#: QEMU 4.0 reopens files when this changes, as another user, and a migration then fails.
OPENED_FOR_GOOD: Mapping[str, object] = {"auto-read-only": False}


class Features(TypedDict, total=False):
    """What a TAP device offers, as ``OpenTap`` takes it; ``mq``: has it queues, and how many."""

    driver: str
    vhost: bool
    vnet_hdr: bool
    mq: tuple[bool, int]


class _Description:
    __slots__ = ("_properties",)

    def __init__(self, properties: Mapping[str, object]) -> None:
        """Take the properties in their order, values as QMP wants them."""
        self._properties = properties

    def as_qmp(self) -> dict[str, object]:
        """Give the arguments of the QMP command; QEMU 9.2 and later want numbers as numbers."""
        return dict(self._properties)


class Device(_Description):
    """What the guest sees: -device, ``device_add``. One of the properties is the driver."""

    __slots__ = ()

    def as_argument(self, *, in_json: bool = False) -> str:
        """Give -device's argument: in JSON if asked for, or where only that can say it: a list."""
        properties = self._properties
        if in_json or any(isinstance(value, list | dict) for value in properties.values()):
            return json.dumps(properties)
        rest = (
            f"{key}={Escape(_in_words(value))}"
            for key, value in properties.items()
            if key != "driver"
        )
        return ",".join([str(properties["driver"]), *rest])


class Backend(_Description):
    """What is behind it on the host: -netdev, -blockdev, -drive, and their QMP commands."""

    __slots__ = ()

    def as_argument(self) -> str:
        """Give the argument of the switch; what is nested is flattened (``cache.direct=on``)."""
        return DictToQemuStringNotation(self._properties)


def _in_words(value: object) -> object:
    return TranslateBoolToOnOff(value) if isinstance(value, bool) else value


def disk(
    hvinfo: HvInfo | None,
    backend: str,
    write_cache: bool | None,
    *,
    boot_index: int | None = None,
    threads: Mapping[str, object] | None = None,
) -> Device:
    """Describe a disk.

    Args:
        hvinfo: its driver, its place, and what it was born with.
        backend: id of its block node or drive.
        write_cache: the guest sees one; None where the backend says so (-drive).
        boot_index: its turn when the guest looks for what to start from.
        threads: what serves it beside QEMU's main loop; what ``hvinfo`` has of that goes first.

    Raises:
        ValueError: ``hvinfo`` names no driver: it is a damaged runtime file's.
    """
    properties = {**_placed(hvinfo, backend), "drive": backend}
    if write_cache is not None and properties["driver"] not in _PASSTHROUGH:
        # "auto" is a third value, so QMP has texts here, too
        properties["write-cache"] = TranslateBoolToOnOff(write_cache)
    if boot_index is not None:
        properties["bootindex"] = boot_index
    own = {key: value for key, value in (threads or {}).items() if key not in properties}
    return Device(properties | own)


def nic(
    hvinfo: HvInfo | None,
    backend: str,
    mac: str,
    features: Features,
    *,
    boot_index: int | None = None,
    without_rom: bool = False,
) -> Device:
    """Describe a NIC.

    Args:
        hvinfo: its driver and its place.
        backend: id of its netdev.
        features: what its TAP device offers.
        boot_index: as for ``disk``.
        without_rom: QEMU cannot read the file of its boot ROM: it is in a chroot.

    Raises:
        ValueError: ``hvinfo`` names no driver: it is a damaged runtime file's.
    """
    properties = {**_placed(hvinfo, backend), "netdev": backend, "mac": mac}
    if boot_index is not None:
        properties["bootindex"] = boot_index
    properties |= queue_properties(features)
    if without_rom:
        properties["romfile"] = ""
    return Device(properties)


def _placed(hvinfo: HvInfo | None, backend: str) -> HvInfo:
    if not hvinfo or "driver" not in hvinfo:
        raise ValueError(f"the hvinfo of {backend} names no driver")
    return hvinfo


def queue_properties(features: Features) -> dict[str, object]:
    """Give what several queues add to a NIC."""
    multiqueue, queues = features.get("mq", (False, 1))
    # One interrupt vector each for a queue's two directions, one for control, one for changes.
    return {"mq": True, "vectors": 2 * queues + 2} if multiqueue else {}


def vhost_properties(features: Features) -> dict[str, object]:
    """Give what the kernel's own virtio-net (vhost) adds to a netdev."""
    return {"vhost": True} if features.get("vhost", False) else {}


def netdev(
    backend: str, fds: Sequence[object], vhost_fds: Sequence[object], features: Features
) -> Backend:
    """Describe the host's side of a NIC.

    Args:
        backend: its id.
        fds: descriptors of the TAP device, one for each queue: numbers that QEMU inherits, or the
            names that it has for them.
        vhost_fds: those of /dev/vhost-net.
        features: what the TAP device offers.
    """
    descriptors = {**_list("fd", fds), **_list("vhostfd", vhost_fds)}
    return Backend({"type": "tap", "id": backend, **descriptors, **vhost_properties(features)})


def _list(key: str, fds: Sequence[object]) -> dict[str, str]:
    """``fd=3`` or, for more than one, ``fds=3:4``."""
    return {key if len(fds) == 1 else f"{key}s": ":".join(map(str, fds))} if fds else {}
