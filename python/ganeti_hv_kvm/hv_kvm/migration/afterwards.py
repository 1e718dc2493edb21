"""What is left of a migration that was not settled, settled as soon as QEMU tells enough.

A source that hung while Ganeti aborted its migration may answer a minute later: then nobody asks
about the migration any more. So the next listing does, for guests with a note or a record alone,
and it acts on certain knowledge alone: nothing is cancelled, ended or removed here.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable

from ganeti import errors

from ganeti_hv_kvm.hv_kvm.ganeti import settings
from ganeti_hv_kvm.hv_kvm.ganeti.unfit_values import UNFIT
from ganeti_hv_kvm.hv_kvm.guest.files import (
    InstanceFiles,
    age_of_keys,
    has_keys,
    remove_keys,
)
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.qemu.verbs import control
from ganeti_hv_kvm.migration_decision import NodeState, has_left, is_at_rest, is_paused

from . import departure, paused_record
from .side import ask, is_stopped, monitor


def concerned(guests: Iterable[InstanceFiles]) -> list[InstanceFiles]:
    """Choose the instances of which a note, a record or a key is left."""
    departed = departure.names()
    return [
        one
        for one in guests
        if one.name in departed or os.path.lexists(one.migration) or has_keys(one)
    ]


def notice(guest: Guest) -> None:
    """Let a guest go on that its migration paused, and bring the record up to date.

    Raises:
        errors.HypervisorError: its QEMU does not tell; nothing was done.
    """
    if guest.pid() is None:
        remove_keys(guest.files)
        return
    if is_stopped(guest):
        return
    noted = paused_record.read(guest)
    known = departure.read(guest.name)
    keys = has_keys(guest.files)
    if noted is None and known is None and not keys:
        return
    with monitor(guest, settings.LISTING.value()) as qmp:
        seen = ask(qmp)
        if keys and seen.run_state != "inmigrate" and is_at_rest(seen):
            _remove_old_keys(guest)
        if has_left(seen):
            if known is not None:
                departure.mark_left(guest.instance)
            return
        if noted and _may_go_on(noted, seen):
            control.cont(qmp)
            logging.warning("%s was left paused by its aborted migration: it goes on", guest.name)
            paused_record.remove(guest)
            departure.forget(guest.name)
            return
    if known and seen.run_state == "running" and is_at_rest(seen) and _is_old(known.began):
        departure.forget(guest.name)


def notice_each(guests: Iterable[Guest]) -> None:
    """Do so for several; what fails is only logged: a listing must not fail for it."""
    for guest in guests:
        _notice_or_log(guest)


def _notice_or_log(guest: Guest) -> None:
    try:
        notice(guest)
    # whatever lies in one guest's files, all others are to be listed
    except (errors.HypervisorError, OSError, *UNFIT) as err:
        logging.warning("What became of the migration of %s is not known: %s", guest.name, err)


def remember_if_left(guest: Guest) -> None:
    """Remember that all of the guest was sent, as soon as QEMU says so; nothing is raised.

    Whatever comes next, a power cut of this node too: the end is settled later.
    """
    try:
        with monitor(guest) as qmp:
            if has_left(ask(qmp)):
                departure.mark_left(guest.instance)
    except errors.HypervisorError as err:
        logging.warning("%s", err)


def refuse_if_elsewhere(guest: Guest) -> None:
    """Keep a guest that has left this node, or may have, from being started here anew by a reboot.

    Raises:
        errors.HypervisorError: it has left, is being sent, or nobody can tell; what a person has
            to do.
    """
    if guest.pid() is None:
        return
    try:
        seen = _seen(guest)
    except errors.HypervisorError as err:
        known = departure.read(guest.name)
        if known is None:
            logging.info("QEMU of %s does not tell whether the guest has left: %s", guest.name, err)
            return
        raise errors.HypervisorError(
            f"Instance {guest.name} was not rebooted: {departure.story(known)}. Its QEMU here"
            f" ({guest.process()}) does not tell: {err}. Nothing was done. When it answers, run"
            f" 'gnt-instance migrate --cleanup {guest.name}'. Only if you have seen that the guest"
            f" runs on no other node, run '{departure.COMMAND} {guest.name}' on this one, and"
            " reboot it"
        ) from err
    if has_left(seen):
        departure.mark_left(guest.instance)
        raise errors.HypervisorError(
            f"Instance {guest.name} has left this node by migration; {guest.process()} is what"
            f" stayed behind, and nothing was done to it. Run 'gnt-instance migrate --cleanup"
            f" {guest.name}'"
        )
    if not is_at_rest(seen):
        raise errors.HypervisorError(
            f"Instance {guest.name} was not rebooted: a migration of it is under way"
            f" ('{seen.status}'), and it could come back here while it runs on the other node. Let"
            f" it end, or run 'gnt-instance migrate --cleanup {guest.name}'"
        )


def _seen(guest: Guest) -> NodeState:
    if is_stopped(guest):
        raise errors.HypervisorError("it is stopped by a signal, or frozen")
    with monitor(guest, settings.LISTING.value()) as qmp:
        return ask(qmp)


def _remove_old_keys(guest: Guest) -> None:
    """Remove a key that a crash left; one that is just being used is a second old."""
    if age_of_keys(guest.files) > _begun_by_now():
        remove_keys(guest.files)


def _may_go_on(noted: paused_record.Noted, seen: NodeState) -> bool:
    if noted.run_state != "running" or not is_paused(seen) or not is_at_rest(seen):
        return False
    # a migration that is just being begun looks the same for a moment
    return noted.aborted or noted.age > _begun_by_now()


def _is_old(began: float) -> bool:
    return time.time() - began > _begun_by_now()


def _begun_by_now() -> float:
    return 2 * settings.MIGRATION.value()
