"""What one node sees of a guest that migrates: its process, and what its QEMU says."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ganeti import errors

from ganeti_hv_kvm.hv_kvm.ganeti import settings
from ganeti_hv_kvm.hv_kvm.guest import process as instance_process
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.qemu.verbs import migration as verbs
from ganeti_hv_kvm.migration_decision import NodeState

if TYPE_CHECKING:
    from ganeti_hv_kvm.hv_kvm.monitor import QmpConnection

#: Seconds for a QEMU that is stopped by a signal: it answers only if somebody continues it.
STOPPED_DEADLINE = 15.0


GONE = NodeState(alive=False, answers=False)
SILENT = NodeState(answers=False)
#: Whether there is a process cannot be told.
UNSEEN = NodeState(alive=None, answers=False)


def monitor(guest: Guest, seconds: float | None = None) -> QmpConnection:
    """Make a connection to QEMU, with the patience that a migration needs, or the given seconds."""
    return guest.monitor(_patience(guest) if seconds is None else seconds)


def is_stopped(guest: Guest) -> bool:
    """Tell whether its process was stopped by a signal: it answers nobody."""
    pid = guest.pid()
    return pid is not None and instance_process.is_stopped(pid)


def _patience(guest: Guest) -> float:
    seconds = settings.MIGRATION.value()
    if not settings.MIGRATION.is_set():
        hvparams = getattr(guest.instance, "hvparams", None)
        seconds = max(seconds, settings.configured_qmp_seconds(hvparams) or 0.0)
    return min(STOPPED_DEADLINE, seconds) if is_stopped(guest) else seconds


def look(guest: Guest) -> NodeState:
    """See what is here; ``SILENT`` is a QEMU that cannot be asked, ``UNSEEN`` a doubt."""
    try:
        if guest.pid() is None:
            return GONE
    except errors.HypervisorError as err:
        logging.warning("Whether %s has a QEMU here cannot be told: %s", guest.name, err)
        return UNSEEN._replace(error=str(err))
    try:
        with monitor(guest) as qmp:
            return ask(qmp)
    except errors.HypervisorError as err:
        logging.warning("QEMU of %s does not tell how its migration stands: %s", guest.name, err)
        return _look_again(guest)


def _look_again(guest: Guest) -> NodeState:
    """It did not answer: has it gone meanwhile?"""
    try:
        return GONE if guest.pid() is None else SILENT
    except errors.HypervisorError as err:
        return UNSEEN._replace(error=str(err))


def ask(qmp: QmpConnection) -> NodeState:
    """Ask a connected QEMU.

    Raises:
        errors.HypervisorError: it does not answer, or with nonsense.
    """
    # First the migration: a run state that is older than the status could hide a switch-over.
    migration = verbs.query_migrate(qmp)
    return NodeState.told(migration, verbs.run_state(qmp))
