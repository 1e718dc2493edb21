"""The form of QMP's replies, as far as they are read: what QEMU's schema promises.

It is a promise of a peer: whoever decides something by a member looks at it first.
"""

from __future__ import annotations

from typing import TypedDict

CpuInfo = TypedDict("CpuInfo", {"cpu-index": int, "thread-id": int, "qom-path": str})
"""An entry of ``query-cpus-fast``."""

HotpluggableCpu = TypedDict(
    "HotpluggableCpu", {"type": str, "vcpus-count": int, "props": dict[str, int], "qom-path": str}
)
"""An entry of ``query-hotpluggable-cpus``; one that is free has no path."""

MemorySize = TypedDict("MemorySize", {"base-memory": int, "plugged-memory": int})
"""``query-memory-size-summary``; bytes."""


class ObjectProperty(TypedDict):
    """An entry of ``qom-list``; an object below has the type ``child<ITS TYPE>``."""

    name: str
    type: str


class PciNumbers(TypedDict):
    """Who made a PCI device, and what it is."""

    vendor: int
    device: int


class PciDevice(TypedDict, total=False):
    """A device of ``query-pci``; only one that has an id of its own tells it."""

    slot: int
    function: int
    id: PciNumbers
    qdev_id: str
    pci_bridge: PciBridge


class PciBridge(TypedDict, total=False):
    """What is behind a bridge or a root port."""

    devices: list[PciDevice]


class PciBus(TypedDict):
    """An entry of ``query-pci``."""

    devices: list[PciDevice]


class IoThread(TypedDict):
    """An entry of ``query-iothreads``."""

    id: str


InsertedImage = TypedDict(
    "InsertedImage", {"node-name": str, "file": str, "iops": int, "bps": int}, total=False
)
"""The member ``inserted`` of an entry of ``query-block``."""


class BlockInfo(TypedDict, total=False):
    """An entry of ``query-block``; device is "" where there is no legacy drive."""

    device: str
    qdev: str
    inserted: InsertedImage


MemoryBackend = TypedDict("MemoryBackend", {"id": str, "host-nodes": list[int]}, total=False)
"""An entry of ``query-memdev``."""


class MigrationCapability(TypedDict):
    """An entry of ``query-migrate-capabilities``."""

    capability: str
    state: bool


MigrationRam = TypedDict(
    "MigrationRam",
    {
        "transferred": int,
        "total": int,
        "remaining": int,
        "mbps": float,
        "dirty-sync-count": int,
        "dirty-pages-rate": int,
        "page-size": int,
    },
    total=False,
)
"""The member ``ram`` of ``query-migrate``: bytes, and millions of bits a second."""

MigrationInfo = TypedDict(
    "MigrationInfo",
    {
        "status": str,
        "error-desc": str,
        "ram": MigrationRam,
        "total-time": int,
        "expected-downtime": int,
        "blocked-reasons": list[str],
    },
    total=False,
)
"""``query-migrate``; milliseconds. It is empty where QEMU never migrated."""
