"""The numbers that a QEMU tells of its guest, checked before anybody believes them.

They go into Ganeti's lists and so into its JSON: whole numbers within bounds, or none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ganeti_hv_kvm.errors import HypervisorError
from ganeti_hv_kvm.qmp_values import memory_devices, run_state
from ganeti_hv_kvm.qmp_values.run_state import RunState, quoted

STATUS, CPUS, BALLOON = "query-status", "query-cpus-fast", "query-balloon"
SIZE = "query-memory-size-summary"
ADDED = memory_devices.COMMAND

_MIB = 1 << 20
_MOST_BYTES = 1 << 60
_MOST_VCPUS = 1 << 16


class NonsenseError(ValueError):
    """QEMU, or whoever answers in its place, told what cannot be."""


class Told(NamedTuple):
    """MiB of memory, number of vCPUs, and what the guest does; None for what was not told."""

    memory: int | None
    vcpus: int | None
    state: RunState | None


NOTHING = Told(None, None, None)


def read(values: Mapping[str, object]) -> Told:
    """Read what a guest answered.

    Args:
        values: answers to the commands that this module names, as far as there are any.

    Raises:
        NonsenseError: one of them cannot be; then none is believed.
    """
    vcpus = _count(values[CPUS]) if CPUS in values else None
    # a guest without a balloon device refuses this one
    memory = (
        _mebibytes(values[BALLOON], "actual") + read_added(values)
        if BALLOON in values
        else read_size(values)
    )
    return Told(memory, vcpus, _state(values[STATUS]) if STATUS in values else None)


def _state(answer: object) -> RunState:
    try:
        return run_state.read(answer)
    except HypervisorError as err:
        raise NonsenseError(str(err)) from err


def read_size(values: Mapping[str, object]) -> int | None:
    """Read MiB of memory out of the answer to ``SIZE``; None if there is none.

    Raises:
        NonsenseError: it cannot be.
    """
    return _mebibytes(values[SIZE], "base-memory") + read_added(values) if SIZE in values else None


def read_added(values: Mapping[str, object]) -> int:
    """Read MiB that the guest was given while it runs, of which its balloon knows nothing.

    Raises:
        NonsenseError: it cannot be.
    """
    if ADDED not in values:
        return 0
    try:
        devices = memory_devices.read(values[ADDED])
    except HypervisorError as err:
        raise NonsenseError(str(err)) from err
    return sum(device.size for device in devices) // _MIB


def _mebibytes(answer: object, member: str) -> int:
    size = answer.get(member) if isinstance(answer, dict) else None
    # true and false are whole numbers to Python
    if type(size) is not int or not 0 <= size <= _MOST_BYTES:
        raise NonsenseError(f"{member} of memory is {_short(size)}")
    return size // _MIB


def _count(cpus: object) -> int:
    if not isinstance(cpus, list):
        raise NonsenseError(f"its vCPUs are {_short(cpus)}")
    if len(cpus) > _MOST_VCPUS:
        raise NonsenseError(f"it has {len(cpus)} vCPUs")
    if odd := [cpu for cpu in cpus if not isinstance(cpu, dict)]:
        raise NonsenseError(f"one of its vCPUs is {_short(odd[0])}")
    return len(cpus)


def _short(value: object) -> str:
    """Quote a value; one that is large is not written out first."""
    if type(value) is int and value.bit_length() > 256:
        return f"a whole number of {value.bit_length()} bits"
    return quoted(type(value).__name__ if isinstance(value, dict | list) else value)
