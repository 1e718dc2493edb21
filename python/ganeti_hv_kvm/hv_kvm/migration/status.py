"""How far a migration is, in the words of Ganeti's master.

Ganeti knows five states, QEMU three times as many, and more with each release. Whatever is not an
end is "active"; an end that is no success is an error, for its text reaches the user.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING

from ganeti import constants, errors, objects

from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.qemu.verbs import migration as verbs
from ganeti_hv_kvm.qmp_values.migration import Migration

from . import capabilities, endless, source
from .endless import Progress
from .side import monitor

if TYPE_CHECKING:
    from ganeti_hv_kvm.hv_kvm.monitor import QmpConnection

#: Passes over the guest's memory before the rest is fetched from the target's side.
POSTCOPY_AFTER_PASSES = 2

_ENDED_BADLY = {
    "none": "was never begun, as QEMU says",
    "failed": "failed",
    "cancelled": "was cancelled",
    "postcopy-paused": (
        "lost its connection after the guest had gone on at the target, which lacks a part of its"
        " memory; both QEMUs wait, and can be told to go on with migrate-recover and migrate -r"
    ),
}


def get(guest: Guest) -> objects.MigrationStatus:
    """Give Ganeti's ``objects.MigrationStatus``; switch to postcopy when it is time.

    A migration that does not come to an end may be given more downtime, or be cancelled.

    Raises:
        errors.HypervisorError: the migration ended without success, with QEMU's reason; it was
            cancelled here; or QEMU is gone or does not answer.
    """
    if guest.pid() is None:
        raise errors.HypervisorError(
            f"QEMU of instance {guest.name} ended while the guest was being sent"
        )
    with monitor(guest) as qmp:
        answer = verbs.query_migrate(qmp)
        state = answer.status
        if state in _ENDED_BADLY:
            raise errors.HypervisorError(_failure(guest, state, answer.error))
        if state == "pre-switchover":
            # the capability pause-before-switchover: nobody else would tell QEMU to go on
            verbs.migrate_continue(qmp, state)
        active = state == constants.HV_MIGRATION_ACTIVE
        progress = Progress(answer.transferred or 0, answer.total or 0)
        too_much = _why_not_on(guest, answer, progress) if active else None
        passes = answer.passes if not too_much else POSTCOPY_AFTER_PASSES
        switched = active and _start_postcopy(guest, qmp, passes)
        raised = None
        if switched:
            too_much = None
        elif active and not too_much:
            raised = endless.raise_limit(
                guest.files,
                guest.instance,
                functools.partial(verbs.limit_downtime, qmp),
                progress,
            )
    if too_much and _is_cancelled(guest, too_much):
        raise errors.HypervisorError(
            f"The migration of instance {guest.name} was cancelled: {too_much};"
            f" {endless.pace_of(answer)}. The guest runs on here. Migrate it when it is less busy,"
            " or with more migration_bandwidth or migration_downtime, or with --non-live"
        )
    status = _status(answer._replace(status="completed") if too_much else answer, switched)
    if raised:
        tell_limit(status, raised)
    return status


def _why_not_on(guest: Guest, answer: Migration, progress: Progress) -> str | None:
    return endless.too_much(guest.instance, progress) or endless.too_long(answer)


def _is_cancelled(guest: Guest, why: str) -> bool:
    """Cancel the migration; tell whether it was, and had not completed before."""
    logging.warning("The migration of %s is cancelled: %s", guest.name, why)
    return source.give_up(guest)


def tell_limit(status: objects.MigrationStatus, milliseconds: int) -> None:
    """Let Ganeti's ``objects.MigrationStatus`` tell the new limit, if it has a place for that."""
    if hasattr(type(status), "migration_downtime"):
        status.migration_downtime = milliseconds


def _failure(guest: Guest, state: str, reason: str) -> str:
    reason = f": {reason}" if reason else ""
    return f"The migration of instance {guest.name} {_ENDED_BADLY[state]}{reason}"


def _start_postcopy(guest: Guest, qmp: QmpConnection, passes: int) -> bool:
    """Switch to postcopy if the instance wants it and its memory was sent once."""
    if passes < POSTCOPY_AFTER_PASSES or not capabilities.has_postcopy(guest.instance):
        return False
    try:
        verbs.migrate_start_postcopy(qmp)
    except errors.HypervisorError as err:
        # it may have ended meanwhile; the next look tells
        logging.warning("%s was not switched to postcopy: %s", guest.name, err)
        return False
    logging.info("%s goes on at the target; the rest of its memory follows", guest.name)
    return True


def _status(answer: Migration, switched: bool) -> objects.MigrationStatus:
    state = answer.status
    known = state in constants.HV_KVM_MIGRATION_VALID_STATUSES
    if not known:
        logging.debug("QEMU's migration state '%s' counts as active", state)
    status = objects.MigrationStatus(
        status=state if known else constants.HV_MIGRATION_ACTIVE,
        postcopy_status=constants.HV_KVM_MIGRATION_POSTCOPY_ACTIVE if switched else None,
    )
    # Ganeti divides by the total
    if answer.total:
        status.transferred_ram = answer.transferred
        status.total_ram = answer.total
    return status
