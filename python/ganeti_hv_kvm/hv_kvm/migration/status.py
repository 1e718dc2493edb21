"""How far a migration is, in the words of Ganeti's master.

Ganeti knows five states, QEMU three times as many, and more with each release. Whatever is not an
end is "active"; an end that is no success is an error, for its text reaches the user.
"""

from __future__ import annotations

import logging
from typing import Any

from ganeti import constants, errors, objects

from . import answers, capabilities
from .answers import Migration
from .view import MigratingGuest

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


def get(guest: MigratingGuest) -> Any:
    """Give Ganeti's ``objects.MigrationStatus``; switch to postcopy when it is time.

    Raises:
        errors.HypervisorError: the migration ended without success, with QEMU's reason; or QEMU
            is gone or does not answer.
    """
    if guest.pid() is None:
        raise errors.HypervisorError(
            f"QEMU of instance {guest.name} ended while the guest was being sent"
        )
    with guest.monitor() as qmp:
        answer = answers.read_migration(qmp.GetMigrationStatus())
        state = answer.status
        if state in _ENDED_BADLY:
            raise errors.HypervisorError(_failure(guest, state, answer.error))
        if state == "pre-switchover":
            # the capability pause-before-switchover: nobody else would tell QEMU to go on
            qmp.execute_qmp("migrate-continue", {"state": state})
        switched = state == constants.HV_MIGRATION_ACTIVE and _start_postcopy(guest, qmp, answer)
    return _status(answer, switched)


def _failure(guest: MigratingGuest, state: str, reason: str) -> str:
    reason = f": {reason}" if reason else ""
    return f"The migration of instance {guest.name} {_ENDED_BADLY[state]}{reason}"


def _start_postcopy(guest: MigratingGuest, qmp: Any, answer: Migration) -> bool:
    """Switch to postcopy if the instance wants it and its memory was sent once."""
    if answer.passes < POSTCOPY_AFTER_PASSES or not capabilities.has_postcopy(guest.instance):
        return False
    try:
        qmp.StartPostcopyMigration()
    except errors.HypervisorError as err:
        # it may have ended meanwhile; the next look tells
        logging.warning("%s was not switched to postcopy: %s", guest.name, err)
        return False
    logging.info("%s goes on at the target; the rest of its memory follows", guest.name)
    return True


def _status(answer: Migration, switched: bool) -> Any:
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
