"""Memory that a guest was given while it runs (virtio-mem), as its QEMU tells of it."""

from __future__ import annotations

from typing import NamedTuple

from ganeti_hv_kvm.errors import HypervisorError
from ganeti_hv_kvm.qmp_values.run_state import quoted

COMMAND = "query-memory-devices"

_MOST_BYTES = 1 << 60
_LONGEST = 100


class MemoryDevice(NamedTuple):
    """A virtio-mem device, as QEMU's query-memory-devices tells of it; sizes in bytes.

    Attributes:
        devid: its id.
        size: what the guest has of it.
        requested: what the guest is asked to have.
        most: what it may have.
    """

    devid: str
    size: int
    requested: int
    most: int


def read(answer: object) -> list[MemoryDevice]:
    """Read the virtio-mem devices of an answer to query-memory-devices; others are left out.

    Raises:
        HypervisorError: it is of another form than QMP's.
    """
    if not isinstance(answer, list):
        raise HypervisorError(f"QEMU's answer to {COMMAND} has another form")
    found = []
    for entry in answer:
        data = entry.get("data") if isinstance(entry, dict) else None
        if not isinstance(data, dict):
            raise HypervisorError(f"QEMU's answer to {COMMAND} has another form")
        if entry.get("type") == "virtio-mem":
            sizes = map(data.get, ("size", "requested-size", "max-size"))
            found.append(MemoryDevice(str(data.get("id", ""))[:_LONGEST], *map(_bytes, sizes)))
    return found


def _bytes(told: object) -> int:
    # true and false are whole numbers to Python
    if type(told) is not int or not 0 <= told <= _MOST_BYTES:
        raise HypervisorError(f"QEMU tells of memory that cannot be: {_short(told)}")
    return told


def _short(told: object) -> str:
    """Quote what was told; a number that is large is not written out first."""
    if type(told) is int and told.bit_length() > _LONGEST:
        return f"a whole number of {told.bit_length()} bits"
    return quoted(repr(told)[:_LONGEST])
