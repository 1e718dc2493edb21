"""What guests use: CPU time and memory by /proc, disks by QEMU, networks by their TAP devices."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ganeti_hv_kvm.cli.node import condition, process
from ganeti_hv_kvm.cli.node import look as looking
from ganeti_hv_kvm.cli.node.condition import Condition
from ganeti_hv_kvm.cli.node.guests import LocalGuest
from ganeti_hv_kvm.qmp_values.run_state import quoted

_STATISTICS = "query-blockstats"
_LEAST = 0.1
#: More than Ganeti lets a guest have; a peer's list is bounded.
_MOST_DISKS = 256
_MOST = (1 << 63) - 1
#: IFNAMSIZ
_LONGEST_NAME = 15
_NETWORK = Path("/sys/class/net")

#: Names of metrics, QEMU's of BlockDeviceStats, and what makes one of the other.
DISK_COUNTERS = {
    "read_bytes": ("rd_bytes", 1.0),
    "read_requests": ("rd_operations", 1.0),
    "read_time_seconds": ("rd_total_time_ns", 1e-9),
    "write_bytes": ("wr_bytes", 1.0),
    "write_requests": ("wr_operations", 1.0),
    "write_time_seconds": ("wr_total_time_ns", 1e-9),
    "flush_requests": ("flush_operations", 1.0),
    "flush_time_seconds": ("flush_total_time_ns", 1e-9),
}
#: What the guest receives, its TAP device sends.
NIC_COUNTERS = {
    f"{guests}_{name}": f"{taps}_{file}"
    for guests, taps in (("receive", "tx"), ("transmit", "rx"))
    for name, file in (
        ("bytes", "bytes"),
        ("packets", "packets"),
        ("errors", "errors"),
        ("drops", "dropped"),
    )
}


class Device(NamedTuple):
    """A disk or NIC: its name, its bridge ("" for none), and its counters by their names."""

    name: str
    bridge: str
    counters: Mapping[str, float]


class Figures(NamedTuple):
    """A guest, and what it has used since its QEMU began.

    Attributes:
        moment: of the clock that only goes forward, when this was read.
        usage: None where it cannot be read.
    """

    condition: Condition
    moment: float
    usage: process.Usage | None
    disks: Sequence[Device]
    nics: Sequence[Device]


def read(guests: Sequence[LocalGuest], timeout: float) -> list[Figures]:
    """Read them of guests, ``timeout`` seconds at most for all of them together.

    Raises:
        errors.HypervisorError: not one descriptor is left.
    """
    until = time.monotonic() + timeout
    conditions = condition.look(guests, timeout)
    disks = _disks(conditions, until)
    return [
        Figures(
            one,
            time.monotonic(),
            process.usage(one.pid) if one.pid else None,
            disks.get(one.guest.name, ()),
            _nics(one.guest) if one.pid else (),
        )
        for one in conditions
    ]


def _disks(conditions: Sequence[Condition], until: float) -> dict[str, list[Device]]:
    """A question of its own: its answer may wait for a disk that hangs."""
    asked = [one.guest for one in conditions if one.monitor == looking.ANSWERED]
    left = max(_LEAST, until - time.monotonic())
    looks = looking.look(asked, {_STATISTICS: _STATISTICS}, left)
    return {one.guest.name: disks(one.values.get(_STATISTICS)) for one in looks}


def disks(answer: object) -> list[Device]:
    """Read the answer to query-blockstats; what is nonsense in it is left out."""
    found = []
    for one in answer[:_MOST_DISKS] if isinstance(answer, list) else []:
        if not isinstance(one, dict) or not isinstance(statistics := one.get("stats"), dict):
            continue
        if "node-name" not in one:
            continue  # a drive without a medium, such as QEMU's own floppy
        name = one.get("device") or one.get("qdev")
        if not isinstance(name, str):
            continue
        counters = {
            ours: value * factor
            for ours, (qemus, factor) in DISK_COUNTERS.items()
            if (value := _count(statistics.get(qemus))) is not None
        }
        # With -blockdev it is a path of QOM: "/machine/peripheral/disk0/virtio-backend".
        short = name.removeprefix("/machine/peripheral/").partition("/")[0] or name
        found.append(Device(quoted(short), "", counters))
    return found


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= _MOST else None


def _nics(guest: LocalGuest) -> list[Device]:
    """Read the counters of its TAP devices, which Ganeti has noted."""
    try:
        notes = sorted(os.listdir(guest.nics))[:_MOST_DISKS]
    except OSError:
        return []
    found = []
    for note in notes:
        try:
            with open(guest.nics / note, encoding="utf-8", errors="replace") as stream:
                tap = stream.read(_LONGEST_NAME + 2).strip()
        except OSError:
            continue
        if not tap or "/" in tap or tap in (".", "..") or len(tap) > _LONGEST_NAME:
            continue
        folder = _NETWORK / tap / "statistics"
        counters = {
            ours: value
            for ours, file in NIC_COUNTERS.items()
            if (value := _number_in(folder / file)) is not None
        }
        if counters:
            found.append(Device(quoted(tap), _bridge_of(tap), counters))
    return found


def _number_in(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _bridge_of(tap: str) -> str:
    try:
        return os.path.basename(os.readlink(_NETWORK / tap / "master"))
    except OSError:
        return ""
