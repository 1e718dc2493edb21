"""The node that a guest leaves: the migration is begun here, and its end is settled."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from ganeti import constants, errors, utils

from ganeti_hv_kvm.hv_kvm.command_line import START_PAUSED
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import number
from ganeti_hv_kvm.hv_kvm.guest import process as instance_process
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.qemu.verbs import control
from ganeti_hv_kvm.hv_kvm.qemu.verbs import migration as verbs
from ganeti_hv_kvm.migration_decision import (
    AtSource,
    NodeState,
    at_source,
    has_left,
    is_at_rest,
    is_paused,
)

from . import afterwards, capabilities, departure, endless, info, paused_record, way
from .side import GONE, ask, look, monitor

if TYPE_CHECKING:
    from ganeti_hv_kvm.hv_kvm.monitor import QmpConnection

_MIB = 1 << 20
#: Seconds that QEMU gets to finish a switch-over or a cancellation.
SETTLE = 30.0
#: Seconds between two looks.
_LOOK = 0.05


def migrate(guest: Guest, target: str, live: bool) -> None:
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
    with monitor(guest) as qmp:
        seen = ask(qmp)
        _check_can_leave(guest, seen)
        chosen = way.choose(guest, qmp, target)
    pause = not live and seen.run_state == "running"
    paused_record.remove(guest)
    # before anything is touched: without these nobody could settle the end
    endless.begin(guest.files, guest.instance.hvparams)
    departure.begin(guest.instance, target)
    if not live:
        paused_record.write(guest, seen.run_state)
    try:
        with monitor(guest) as qmp:
            way.take(qmp, chosen)
            _send(guest, qmp, (target, chosen.port), pause)
    except errors.HypervisorError:
        # over a connection of its own: this one may be broken, and QEMU serves one at a time
        _take_back(guest, pause)
        raise


def _send(guest: Guest, qmp: QmpConnection, target: tuple[str, int], pause: bool) -> None:
    hvp = guest.instance.hvparams
    verbs.limit(
        qmp,
        number(hvp, constants.HV_MIGRATION_BANDWIDTH) * _MIB,
        number(hvp, constants.HV_MIGRATION_DOWNTIME),
    )
    capabilities.set_all(guest.instance, qmp)
    endless.slow_down(guest.name, qmp)
    if pause:
        control.stop(qmp)
    verbs.migrate(qmp, *target)


def _check_can_leave(guest: Guest, seen: NodeState) -> None:
    if seen.run_state == "inmigrate":
        reason = "it has not arrived here itself"
    elif has_left(seen):
        reason = "it has left this node already"
    elif is_at_rest(seen):
        return
    else:
        reason = f"a migration of it is under way ('{seen.status}')"
    raise errors.HypervisorError(f"Instance {guest.name} cannot be sent: {reason}")


def _take_back(guest: Guest, paused: bool) -> None:
    """After a refusal: let the guest go on, if it is certain that nothing is being sent.

    With an answer that was lost it is not; then the abort that follows finds out.
    """
    try:
        with monitor(guest) as qmp:
            seen = ask(qmp)
            if not is_at_rest(seen):
                return
            if paused and is_paused(seen):
                control.cont(qmp)
            capabilities.clear_all(guest.instance, qmp)
            endless.stop_slowing_down(guest.name, qmp)
            way.end(guest, qmp)
        paused_record.remove(guest)
        endless.forget(guest.files)
        departure.forget(guest.name)
    except errors.HypervisorError as err:
        logging.warning("Whether %s goes on is not known: %s", guest.name, err)


def finalize(guest: Guest, success: bool, live: bool) -> None:
    """Settle the end of a migration on the node that the guest came from.

    Args:
        success: Ganeti has seen the migration complete; else it is aborted.
        live: as it was given to ``migrate``.

    Raises:
        errors.HypervisorError: what was left as it was, why, and what a person has to do.
    """
    if success:
        _finish(guest)
    else:
        _abort(guest, live)


def _finish(guest: Guest) -> None:
    seen = look(guest)
    action = at_source(seen, True)
    if action not in (AtSource.END, AtSource.CLEAN_UP):
        raise errors.HypervisorError(_explain(guest, action, seen))
    # first: from here on Ganeti's watcher may find the instance down on this node
    _remember(guest)
    if action is AtSource.END:
        _end(guest, seen)
    paused_record.remove(guest)
    guest.seams.clean_up(guest.name)


def _remember(guest: Guest) -> None:
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


def give_up(guest: Guest) -> bool:
    """Cancel a migration before Ganeti aborts it; the guest stays here, and does what it did.

    Returns:
        False: it had completed by then.

    Raises:
        errors.HypervisorError: what was left as it was, why, and what a person has to do.
    """
    settled = _settle(guest, look(guest))
    if settled.action is AtSource.MOVED:
        return False
    _conclude(guest, settled, live=True)
    return True


def _abort(guest: Guest, live: bool) -> None:
    _conclude(guest, _settle(guest, look(guest)), live)


def _conclude(guest: Guest, settled: _Settled, live: bool) -> None:
    if settled.action is AtSource.CLEAN_UP:
        paused_record.remove(guest)
        guest.seams.clean_up(guest.name)
        departure.forget_unless_left(guest.name)
    elif settled.action is AtSource.STAY:
        _stay(guest, live, paused_here=settled.paused_here)
    else:
        _leave_word(guest, settled.action, live)
        raise errors.HypervisorError(_explain(guest, settled.action, settled.seen))


def _leave_word(guest: Guest, action: AtSource, live: bool) -> None:
    """Note what the next look at the guest needs to know; it is an error already, so no other."""
    try:
        if action in (AtSource.MOVED, AtSource.SPLIT):
            departure.mark_left(guest.instance)
        elif action is AtSource.UNKNOWN and not guest.is_gone() and _was_running(guest, live):
            paused_record.write(guest, "running", aborted=True)
    except errors.HypervisorError as err:
        logging.warning("%s", err)


def _end(guest: Guest, seen: NodeState) -> None:
    if not seen.answers:
        logging.warning(
            "QEMU of %s cannot be asked whether the guest has left; Ganeti says so: it is ended",
            guest.name,
        )
    if guest.pid() is not None:
        instance_process.kill(guest.files)


class _Settled(NamedTuple):
    """How an aborted migration ended; whether the guest was paused for that, and ran before."""

    action: AtSource
    seen: NodeState
    paused_here: bool = False


def _settle(guest: Guest, seen: NodeState) -> _Settled:
    """Bring an aborted migration to its end, and tell which one it was."""
    if not seen.answers:
        return _Settled(at_source(seen, False), seen)
    end = time.monotonic() + SETTLE
    paused_here = False
    try:
        with monitor(guest) as qmp:
            while True:
                seen = ask(qmp)
                action = at_source(seen, False)
                if action is AtSource.PAUSE:
                    _pause(guest, qmp)
                    paused_here = True
                elif action is AtSource.CANCEL:
                    verbs.migrate_cancel(qmp)
                elif action is not AtSource.WAIT:
                    return _Settled(action, seen, paused_here)
                if time.monotonic() > end:
                    return _Settled(_undecided(seen), seen, paused_here)
                time.sleep(_LOOK)
    except errors.HypervisorError as err:
        logging.warning("The migration of %s is not settled: %s", guest.name, err)
        if guest.is_gone():
            return _Settled(at_source(GONE, False), GONE)
        return _Settled(AtSource.UNKNOWN, seen._replace(error=str(err)), paused_here)


def _pause(guest: Guest, qmp: QmpConnection) -> None:
    """Pause a guest that runs, so that its migration can be cancelled.

    The note is for another request than this one: without it (/run may be full) the migration is
    cancelled all the same.
    """
    try:
        paused_record.write(guest, "running", aborted=True)
    except errors.HypervisorError as err:
        logging.warning("%s", err)
    control.stop(qmp)


def _undecided(seen: NodeState) -> AtSource:
    """QEMU takes minutes to cancel while it connects to a host that does not answer.

    It will not send anything any more: only one that has begun to hand over may still do so.
    """
    handing_over = seen.run_state in ("finish-migrate", "postmigrate")
    return AtSource.STAY if seen.status == "cancelling" and not handing_over else AtSource.UNKNOWN


def _stay(guest: Guest, live: bool, *, paused_here: bool) -> None:
    with monitor(guest) as qmp:
        seen = ask(qmp)
        if is_paused(seen) or seen.run_state == "postmigrate":
            if paused_here or _was_running(guest, live):
                control.cont(qmp)
            else:
                logging.info("Instance %s was paused before its migration: it stays so", guest.name)
        capabilities.clear_all(guest.instance, qmp)
        endless.stop_slowing_down(guest.name, qmp)
        way.end(guest, qmp)
    paused_record.remove(guest)
    endless.forget(guest.files)
    departure.forget(guest.name)


def _was_running(guest: Guest, live: bool) -> bool:
    noted = paused_record.read(guest)
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


def _explain(guest: Guest, action: AtSource, seen: NodeState) -> str:
    told = f"(migration '{seen.status}', guest '{seen.run_state}')" if seen.answers else ""
    process = guest.process()
    stale = (
        f"QEMU here ({process}) stays stopped and must not be continued. If the guest is on the"
        f" target, end this process and run 'gnt-instance migrate --cleanup {guest.name}'"
    )
    reason = {
        AtSource.REFUSE: f"has not left this node {told}: its QEMU was not ended",
        AtSource.MOVED: f"has left this node: its migration completed before it was aborted {told}."
        f" {stale}; where it is paused, continue it",
        AtSource.SPLIT: f"runs on the target, and a part of its memory is still here {told}: it was"
        f" not cancelled. QEMU here ({process}) must not be ended or continued before the rest is"
        " sent",
        AtSource.DOUBTFUL: "was being handed over when its migration was cancelled, and may be on"
        f" the target {told}. {stale}; if it is not there, continue it here",
        AtSource.UNKNOWN: f"was not touched: it cannot be told whether the guest is here {told}"
        f" ({seen.error or f'its QEMU does not answer; {process}'}). When QEMU answers again, run"
        f" 'gnt-instance migrate --cleanup {guest.name}': it settles this; a guest that was paused"
        " for its migration goes on then",
    }[action]
    return f"Instance {guest.name} {reason}"
