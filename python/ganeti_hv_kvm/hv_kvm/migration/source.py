"""The node that a guest leaves: the migration is begun here, and its end is settled."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from ganeti import constants, errors, utils

from ganeti_hv_kvm.hv_kvm import instance_process
from ganeti_hv_kvm.hv_kvm.command_line import START_PAUSED

from . import afterwards, capabilities, departure, info, note
from .decision import AtSource, at_source, has_left, is_at_rest
from .view import GONE, MigratingGuest, View, ask

_MIB = 1 << 20
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
    # what an earlier attempt left paused is not to arrive paused
    afterwards.notice_each([guest])
    with guest.monitor() as qmp:
        view = ask(qmp)
        _check_can_leave(guest, view)
    pause = not live and view.run_state == "running"
    note.remove(guest)
    # before anything is touched: without these nobody could settle the end
    departure.begin(guest.instance, target)
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
    elif is_at_rest(view):
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
            if not is_at_rest(view):
                return
            if paused and view.run_state == "paused":
                qmp.ContinueGuestEmulation()
            capabilities.clear_all(guest.instance, qmp)
        note.remove(guest)
        departure.forget(guest.name)
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
    if success:
        _finish(guest, clean_up)
    else:
        _abort(guest, live, clean_up)


def _finish(guest: MigratingGuest, clean_up: Callable[[str], None]) -> None:
    view = guest.look()
    action = at_source(view, True)
    if action not in (AtSource.END, AtSource.CLEAN_UP):
        raise errors.HypervisorError(_explain(guest, action, view))
    # first: from here on Ganeti's watcher may find the instance down on this node
    _remember(guest)
    if action is AtSource.END:
        _end(guest, view)
    note.remove(guest)
    clean_up(guest.name)


def _remember(guest: MigratingGuest) -> None:
    try:
        departure.mark_left(guest.instance)
    except errors.HypervisorError as err:
        if guest.name in departure.names():
            # the record of its beginning does the same
            logging.warning("%s", err)
            return
        raise errors.HypervisorError(
            f"The guest of {guest.name} has left this node, but {err}. Nothing was ended or"
            f" removed here ({guest.process()}): without that record Ganeti's watcher could start"
            f" it a second time. Make room, then run 'gnt-instance migrate --cleanup {guest.name}'"
        ) from err


def _abort(guest: MigratingGuest, live: bool, clean_up: Callable[[str], None]) -> None:
    settled = _settle(guest, guest.look())
    if settled.action is AtSource.CLEAN_UP:
        note.remove(guest)
        clean_up(guest.name)
        departure.forget_unless_left(guest.name)
    elif settled.action is AtSource.STAY:
        _stay(guest, live, paused_here=settled.paused_here)
    else:
        _leave_word(guest, settled.action, live)
        raise errors.HypervisorError(_explain(guest, settled.action, settled.view))


def _leave_word(guest: MigratingGuest, action: AtSource, live: bool) -> None:
    """Note what the next look at the guest needs to know; it is an error already, so no other."""
    try:
        if action in (AtSource.MOVED, AtSource.SPLIT):
            departure.mark_left(guest.instance)
        elif action is AtSource.UNKNOWN and not guest.is_gone() and _was_running(guest, live):
            note.write(guest, "running", aborted=True)
    except errors.HypervisorError as err:
        logging.warning("%s", err)


def _end(guest: MigratingGuest, view: View) -> None:
    if not view.answers:
        logging.warning(
            "QEMU of %s cannot be asked whether the guest has left; Ganeti says so: it is ended",
            guest.name,
        )
    if guest.pid() is not None:
        instance_process.kill(guest.files)


class _Settled(NamedTuple):
    """How an aborted migration ended; whether the guest was paused for that, and ran before."""

    action: AtSource
    view: View
    paused_here: bool = False


def _settle(guest: MigratingGuest, view: View) -> _Settled:
    """Bring an aborted migration to its end, and tell which one it was."""
    if not view.answers:
        return _Settled(at_source(view, False), view)
    end = time.monotonic() + SETTLE
    paused_here = False
    try:
        with guest.monitor() as qmp:
            while True:
                view = ask(qmp)
                action = at_source(view, False)
                if action is AtSource.PAUSE:
                    _pause(guest, qmp)
                    paused_here = True
                elif action is AtSource.CANCEL:
                    qmp.execute_qmp("migrate_cancel")
                elif action is not AtSource.WAIT:
                    return _Settled(action, view, paused_here)
                if time.monotonic() > end:
                    return _Settled(_undecided(view), view, paused_here)
                time.sleep(_LOOK)
    except errors.HypervisorError as err:
        logging.warning("The migration of %s is not settled: %s", guest.name, err)
        if guest.is_gone():
            return _Settled(at_source(GONE, False), GONE)
        return _Settled(AtSource.UNKNOWN, view._replace(error=str(err)), paused_here)


def _pause(guest: MigratingGuest, qmp: Any) -> None:
    """Pause a guest that runs, so that its migration can be cancelled.

    The note is for another request than this one: without it (/run may be full) the migration is
    cancelled all the same.
    """
    try:
        note.write(guest, "running", aborted=True)
    except errors.HypervisorError as err:
        logging.warning("%s", err)
    qmp.StopGuestEmulation()


def _undecided(view: View) -> AtSource:
    """QEMU takes minutes to cancel while it connects to a host that does not answer.

    It will not send anything any more: only one that has begun to hand over may still do so.
    """
    handing_over = view.run_state in ("finish-migrate", "postmigrate")
    return AtSource.STAY if view.status == "cancelling" and not handing_over else AtSource.UNKNOWN


def _stay(guest: MigratingGuest, live: bool, *, paused_here: bool) -> None:
    with guest.monitor() as qmp:
        view = ask(qmp)
        if view.run_state in ("paused", "postmigrate"):
            if paused_here or _was_running(guest, live):
                qmp.ContinueGuestEmulation()
            else:
                logging.info("Instance %s was paused before its migration: it stays so", guest.name)
        capabilities.clear_all(guest.instance, qmp)
    note.remove(guest)
    departure.forget(guest.name)


def _was_running(guest: MigratingGuest, live: bool) -> bool:
    noted = note.read(guest)
    if noted is not None:
        return noted.run_state == "running"
    if live:
        return False
    # begun by Ganeti's own module, which pauses the guest and notes nothing
    try:
        return START_PAUSED not in info.command_of(utils.ReadFile(guest.files.runtime))
    except OSError as err:
        raise errors.HypervisorError(
            f"Whether {guest.name} ran before its migration cannot be told, so it stays paused:"
            f" {guest.files.runtime} cannot be read: {err}. If it is to run, continue it ('cont')"
        ) from err


def _explain(guest: MigratingGuest, action: AtSource, view: View) -> str:
    seen = f"(migration '{view.status}', guest '{view.run_state}')" if view.answers else ""
    process = guest.process()
    stale = (
        f"QEMU here ({process}) stays stopped and must not be continued. If the guest is on the"
        f" target, end this process and run 'gnt-instance migrate --cleanup {guest.name}'"
    )
    reason = {
        AtSource.REFUSE: f"has not left this node {seen}: its QEMU was not ended",
        AtSource.MOVED: f"has left this node: its migration completed before it was aborted {seen}."
        f" {stale}; where it is paused, continue it",
        AtSource.SPLIT: f"runs on the target, and a part of its memory is still here {seen}: it was"
        f" not cancelled. QEMU here ({process}) must not be ended or continued before the rest is"
        " sent",
        AtSource.DOUBTFUL: "was being handed over when its migration was cancelled, and may be on"
        f" the target {seen}. {stale}; if it is not there, continue it here",
        AtSource.UNKNOWN: f"was not touched: it cannot be told whether the guest is here {seen}"
        f" ({view.error or f'its QEMU does not answer; {process}'}). When QEMU answers again, run"
        f" 'gnt-instance migrate --cleanup {guest.name}': it settles this; a guest that was paused"
        " for its migration goes on then",
    }[action]
    return f"Instance {guest.name} {reason}"
