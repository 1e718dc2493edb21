"""The node that a guest leaves: the migration is begun here, and its end is settled."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from ganeti import constants, errors, utils

from ganeti_hv_kvm.hv_kvm import instance_process
from ganeti_hv_kvm.hv_kvm.command_line import START_PAUSED

from . import capabilities, info, note
from .decision import AtSource, at_source, has_left
from .view import GONE, MigratingGuest, View, ask

_MIB = 1 << 20
#: No migration away from here is under way; "completed" is one that brought the guest.
_UNTOUCHED = ("none", "failed", "cancelled", "completed")

#: Seconds that QEMU gets to finish a switch-over or a cancellation.
SETTLE = 30.0
#: Seconds between two looks.
_LOOK = 0.05


def migrate(guest: MigratingGuest, target: str, live: bool) -> None:
    """Begin to send the guest to ``target``; this returns while it is being sent.

    Args:
        target: address that the other node listens on.
        live: let the guest run meanwhile.

    Raises:
        errors.HypervisorError: nothing is sent, and a guest that ran still runs; or QEMU did not
            answer, and the error says so.
    """
    if guest.pid() is None:
        raise errors.HypervisorError(
            f"Instance {guest.name} does not run: there is nothing to send"
        )
    with guest.monitor() as qmp:
        view = ask(qmp)
        _check_can_leave(guest, view)
    pause = not live and view.run_state == "running"
    note.remove(guest)
    if not live:
        note.write(guest, view.run_state)
    try:
        with guest.monitor() as qmp:
            _send(guest, qmp, target, pause)
    except errors.HypervisorError:
        # over a connection of its own: this one may be broken, and QEMU serves one at a time
        _take_back(guest, pause)
        raise


def _send(guest: MigratingGuest, qmp: Any, target: str, pause: bool) -> None:
    hvp = guest.instance.hvparams
    qmp.SetMigrationParameters(
        hvp[constants.HV_MIGRATION_BANDWIDTH] * _MIB, hvp[constants.HV_MIGRATION_DOWNTIME]
    )
    capabilities.set_all(guest.instance, qmp)
    if pause:
        qmp.StopGuestEmulation()
    qmp.StartMigration(target, hvp[constants.HV_MIGRATION_PORT])


def _check_can_leave(guest: MigratingGuest, view: View) -> None:
    if view.run_state == "inmigrate":
        reason = "it has not arrived here itself"
    elif has_left(view):
        reason = "it has left this node already"
    elif view.status in _UNTOUCHED:
        return
    else:
        reason = f"a migration of it is under way ('{view.status}')"
    raise errors.HypervisorError(f"Instance {guest.name} cannot be sent: {reason}")


def _take_back(guest: MigratingGuest, paused: bool) -> None:
    """After a refusal: let the guest go on, if it is certain that nothing is being sent.

    With an answer that was lost it is not; then the abort that follows finds out.
    """
    try:
        with guest.monitor() as qmp:
            view = ask(qmp)
            if view.status not in _UNTOUCHED or has_left(view):
                return
            if paused and view.run_state == "paused":
                qmp.ContinueGuestEmulation()
            capabilities.clear_all(guest.instance, qmp)
        note.remove(guest)
    except errors.HypervisorError as err:
        logging.warning("Whether %s goes on is not known: %s", guest.name, err)


def finalize(
    guest: MigratingGuest, success: bool, live: bool, clean_up: Callable[[str], None]
) -> None:
    """Settle the end of a migration on the node that the guest came from.

    Args:
        success: Ganeti has seen the migration complete; else it is aborted.
        live: as it was given to ``migrate``.
        clean_up: removes the files of the instance with this name, which is down.

    Raises:
        errors.HypervisorError: what was left as it was, why, and what a person has to do.
    """
    view = guest.look()
    action = at_source(view, True) if success else _settle(guest, view)
    if action is AtSource.END:
        _end(guest, view)
    if action in (AtSource.END, AtSource.CLEAN_UP):
        note.remove(guest)
        clean_up(guest.name)
    elif action is AtSource.STAY:
        _stay(guest, live)
    else:
        raise errors.HypervisorError(_explain(guest, action))


def _end(guest: MigratingGuest, view: View) -> None:
    if not view.answers:
        logging.warning(
            "QEMU of %s cannot be asked whether the guest has left; Ganeti says so: it is ended",
            guest.name,
        )
    pid = guest.pid()
    if pid is not None:
        instance_process.kill(pid, guest.name)


def _settle(guest: MigratingGuest, view: View) -> AtSource:
    """Bring an aborted migration to its end, and tell which one it was."""
    if not view.answers:
        return at_source(view, False)
    end = time.monotonic() + SETTLE
    try:
        with guest.monitor() as qmp:
            while True:
                view = ask(qmp)
                action = at_source(view, False)
                if action is AtSource.PAUSE:
                    note.write(guest, view.run_state)
                    qmp.StopGuestEmulation()
                elif action is AtSource.CANCEL:
                    qmp.execute_qmp("migrate_cancel")
                elif action is not AtSource.WAIT:
                    return action
                if time.monotonic() > end:
                    return _undecided(view)
                time.sleep(_LOOK)
    except errors.HypervisorError as err:
        logging.warning("The migration of %s is not settled: %s", guest.name, err)
        return at_source(GONE, False) if guest.pid() is None else AtSource.UNKNOWN


def _undecided(view: View) -> AtSource:
    """QEMU takes minutes to cancel while it connects to a host that does not answer.

    It will not send anything any more: only one that has begun to hand over may still do so.
    """
    handing_over = view.run_state in ("finish-migrate", "postmigrate")
    return AtSource.STAY if view.status == "cancelling" and not handing_over else AtSource.UNKNOWN


def _stay(guest: MigratingGuest, live: bool) -> None:
    with guest.monitor() as qmp:
        view = ask(qmp)
        if view.run_state in ("paused", "postmigrate"):
            if _was_running(guest, live):
                qmp.ContinueGuestEmulation()
            else:
                logging.info("Instance %s was paused before its migration: it stays so", guest.name)
        capabilities.clear_all(guest.instance, qmp)
    note.remove(guest)


def _was_running(guest: MigratingGuest, live: bool) -> bool:
    noted = note.read(guest)
    if noted is not None:
        return noted == "running"
    if live:
        return False
    # begun by Ganeti's own module, which pauses the guest and notes nothing
    return START_PAUSED not in info.command_of(utils.ReadFile(guest.files.runtime))


def _explain(guest: MigratingGuest, action: AtSource) -> str:
    view, pid = guest.look(), guest.pid()
    seen = f"(migration '{view.status}', guest '{view.run_state}')" if view.answers else ""
    stale = (
        f"Process {pid} here stays stopped and must not be continued. If the guest is on the"
        f" target, end this process and run 'gnt-instance migrate --cleanup {guest.name}'"
    )
    reason = {
        AtSource.REFUSE: f"has not left this node {seen}: its QEMU was not ended",
        AtSource.MOVED: f"has left this node: its migration completed before it was aborted {seen}."
        f" {stale}; where it is paused, continue it",
        AtSource.SPLIT: f"runs on the target, and a part of its memory is still here {seen}: it was"
        f" not cancelled. Process {pid} must not be ended or continued before the rest is sent",
        AtSource.DOUBTFUL: "was being handed over when its migration was cancelled, and may be on"
        f" the target {seen}. {stale}; if it is not there, continue it here",
        AtSource.UNKNOWN: f"was not touched: its QEMU (process {pid}) does not say whether the"
        f" guest is here {seen}. Ask it again, with 'gnt-instance migrate --cleanup {guest.name}'",
    }[action]
    return f"Instance {guest.name} {reason}"
