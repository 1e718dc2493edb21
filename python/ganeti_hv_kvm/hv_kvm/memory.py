"""How much memory a guest has: at its start, and when Ganeti changes it (ballooning)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ganeti import constants, errors
from ganeti.hypervisor import hv_base

from . import run_state
from .instance_files import InstanceFiles

MIB = 1 << 20

#: Seconds that a guest may make no progress with giving memory back, or taking it.
PATIENCE = 20.0

#: Seconds that it may take in all; Ganeti waits 15 minutes for a balloon.
LIMIT = 300.0

#: Seconds between two looks; QEMU sends an event for each step of the guest's driver, but at most
#: one a second.
_LOOK = 1.0


def startup_memory(beparams: dict[str, Any]) -> int:
    """MiB that a guest gets at first: what the node has free, between its minimum and maximum."""
    minimum: int = beparams[constants.BE_MINMEM]
    maximum: int = beparams[constants.BE_MAXMEM]
    if minimum >= maximum:
        return maximum
    free: int = hv_base.BaseHypervisor.GetLinuxNodeInfo()["memory_free"]
    return max(minimum, min(maximum, free))


def balloon(
    files: InstanceFiles,
    wanted: int,
    qmp_connection: Callable[[str], Any],
    *,
    patience: float = PATIENCE,
    limit: float = LIMIT,
) -> None:
    """Ask the guest to use ``wanted`` MiB, and wait until it does.

    Args:
        patience: seconds that the guest may show no progress.
        limit: seconds in all.

    Raises:
        errors.HypervisorError: the guest could not be asked, or is not there by then. The error
            says what it has; the wish stands, and the guest may still follow it.
    """
    with qmp_connection(files.qmp) as qmp:
        qmp.execute_qmp("balloon", {"value": wanted * MIB})
        state = run_state.ask(qmp)
        actual = _wait(qmp, wanted * MIB, patience if state.is_running else 0.0, limit)
        if actual == wanted * MIB:
            return
    raise errors.HypervisorError(
        f"Instance {files.name} was asked to use {wanted} MiB of memory, but has"
        f" {actual / MIB:g} MiB: {_why(state)}. The wish stands, and the guest may still follow it"
    )


def _wait(qmp: Any, wanted: int, patience: float, limit: float) -> int:
    """Wait until the guest has ``wanted`` bytes, or gives up; tell what it has."""
    actual: int = qmp.execute_qmp("query-balloon")["actual"]
    end = time.monotonic() + limit
    progress_until = time.monotonic() + patience
    while actual != wanted:
        left = min(end, progress_until) - time.monotonic()
        if left <= 0:
            break
        qmp.wait_for_qmp_event(["BALLOON_CHANGE"], min(left, _LOOK))
        before, actual = actual, qmp.execute_qmp("query-balloon")["actual"]
        if actual != before:
            progress_until = time.monotonic() + patience
    return actual


def _why(state: run_state.RunState) -> str:
    if not state.is_running:
        return f"it {state.words}"
    return "it has no balloon driver, or cannot spare the memory"
