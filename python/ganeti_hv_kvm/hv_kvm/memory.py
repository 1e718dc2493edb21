"""How much memory a guest has: at its start, and when Ganeti changes it (ballooning)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ganeti import constants, errors
from ganeti.hypervisor import hv_base

from .instance_files import InstanceFiles

MIB = 1 << 20

#: Seconds that a guest gets to give memory back, or to take it.
BALLOON_DEADLINE = 20.0

#: Seconds between two looks where QEMU sends no event.
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
    deadline: float = BALLOON_DEADLINE,
) -> None:
    """Ask the guest to use ``wanted`` MiB, and wait until it does.

    Args:
        deadline: seconds; the guest's driver works page by page.

    Raises:
        errors.HypervisorError: the guest could not be asked, or is not there by then. The error
            says what it has; the wish stands, and the guest may still follow it.
    """
    with qmp_connection(files.qmp) as qmp:
        qmp.execute_qmp("balloon", {"value": wanted * MIB})
        end = time.monotonic() + deadline
        while True:
            actual = qmp.execute_qmp("query-balloon")["actual"] // MIB
            if actual == wanted:
                return
            left = end - time.monotonic()
            if left <= 0:
                break
            qmp.wait_for_qmp_event(["BALLOON_CHANGE"], min(left, _LOOK))
    raise errors.HypervisorError(
        f"Instance {files.name} was asked to use {wanted} MiB of memory, but uses {actual} MiB"
        f" after {deadline:g} s; it may still follow, if it has a balloon driver"
    )
