"""How much memory a guest has: at its start, and when Ganeti changes it (ballooning)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ganeti import constants, errors
from ganeti.hypervisor import hv_base

from ganeti_hv_kvm.hv_kvm.ganeti import generation
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import number
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.qemu.verbs import control, growth
from ganeti_hv_kvm.qmp_values import run_state

if TYPE_CHECKING:
    from ganeti_hv_kvm.hv_kvm.monitor import QmpConnection

MIB = 1 << 20

#: Seconds that a guest may make no progress with giving memory back, or taking it.
PATIENCE = 20.0

#: Seconds that it may take in all; Ganeti waits 15 minutes for a balloon.
LIMIT = 300.0

#: Seconds between two looks; QEMU sends an event for each step of the guest's driver, but at most
#: one a second.
_LOOK = 1.0


def startup_memory(beparams: Mapping[str, object]) -> int:
    """MiB that a guest gets at first: what the node has free, between its minimum and maximum."""
    minimum = number(beparams, constants.BE_MINMEM)
    maximum = number(beparams, constants.BE_MAXMEM)
    if minimum >= maximum:
        return maximum
    free = number(hv_base.BaseHypervisor.GetLinuxNodeInfo(), "memory_free")
    return max(minimum, min(maximum, free))


def balloon(
    guest: Guest,
    wanted: int,
    *,
    patience: float = PATIENCE,
    limit: float = LIMIT,
) -> None:
    """Ask the guest to use ``wanted`` MiB, and wait until it does.

    Of memory that was added while it runs the balloon knows nothing; what the guest has of that is
    counted, and stays.

    Args:
        patience: seconds that the guest may show no progress.
        limit: seconds in all.

    Raises:
        errors.HypervisorError: the guest could not be asked, or is not there by then. The error
            says what it has; the wish stands, and the guest may still follow it.
    """
    with guest.monitor() as qmp:
        added = _added(qmp)
        goal = wanted * MIB - added
        if goal <= 0:
            raise errors.HypervisorError(
                f"Instance {guest.name} cannot use {wanted} MiB of memory: it was given"
                f" {added // MIB} MiB while it runs, which only a shutdown takes back. Nothing was"
                " changed"
            )
        control.balloon(qmp, goal)
        state = control.query_status(qmp)
        actual = wait(
            qmp,
            "BALLOON_CHANGE",
            lambda: control.query_balloon(qmp),
            goal,
            patience=patience if state.is_running else 0.0,
            limit=limit,
        )
        if actual == goal:
            return
        actual += added
    raise errors.HypervisorError(
        f"Instance {guest.name} was asked to use {wanted} MiB of memory, but has"
        f" {actual / MIB:g} MiB: {_why(state)}. The wish stands, and the guest may still follow it"
    )


def _added(qmp: QmpConnection) -> int:
    """Bytes that a guest was given while it runs (memory_hotplug_method)."""
    if generation.MEMORY_METHOD is None:
        return 0
    return sum(device.size for device in growth.query_memory_devices(qmp))


def wait(
    qmp: QmpConnection,
    event: str,
    look: Callable[[], int],
    wanted: int,
    *,
    patience: float,
    limit: float,
) -> int:
    """Wait until the guest has ``wanted`` bytes, or gives up; tell what it has.

    Args:
        event: what QEMU says when the guest has taken a step.
        look: asks QEMU what the guest has.
        patience: seconds that it may show no progress.
        limit: seconds in all.
    """
    actual = look()
    end = time.monotonic() + limit
    progress_until = time.monotonic() + patience
    while actual != wanted:
        left = min(end, progress_until) - time.monotonic()
        if left <= 0:
            break
        qmp.wait_for_qmp_event([event], min(left, _LOOK))
        before, actual = actual, look()
        if actual != before:
            progress_until = time.monotonic() + patience
    return actual


def _why(state: run_state.RunState) -> str:
    if not state.is_running:
        return f"it {state.words}"
    return "it has no balloon driver, or cannot spare the memory"
