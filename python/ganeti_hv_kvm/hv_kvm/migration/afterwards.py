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

from ganeti_hv_kvm.hv_kvm import settings
from ganeti_hv_kvm.hv_kvm.instance_files import InstanceFiles

from . import departure, note
from .decision import has_left, is_at_rest
from .view import MigratingGuest, View, ask


def concerned(guests: Iterable[InstanceFiles]) -> list[InstanceFiles]:
    """Choose the instances of which a note or a record is left."""
    departed = departure.names()
    return [one for one in guests if one.name in departed or os.path.lexists(one.migration)]


def notice(guest: MigratingGuest) -> None:
    """Let a guest go on that its migration paused, and bring the record up to date.

    Raises:
        errors.HypervisorError: its QEMU does not tell; nothing was done.
    """
    if guest.pid() is None or guest.is_stopped():
        return
    noted = note.read(guest)
    known = departure.read(guest.name)
    if noted is None and known is None:
        return
    with guest.monitor(settings.LISTING.seconds()) as qmp:
        view = ask(qmp)
        if has_left(view):
            if known is not None:
                departure.mark_left(guest.instance)
            return
        if noted and _may_go_on(noted, view):
            qmp.ContinueGuestEmulation()
            logging.warning("%s was left paused by its aborted migration: it goes on", guest.name)
            note.remove(guest)
            departure.forget(guest.name)
            return
    if known and view.run_state == "running" and is_at_rest(view) and _is_old(known.began):
        departure.forget(guest.name)


def notice_each(guests: Iterable[MigratingGuest]) -> None:
    """Do so for several; what fails is only logged: a listing must not fail for it."""
    for guest in guests:
        _notice_or_log(guest)


def _notice_or_log(guest: MigratingGuest) -> None:
    try:
        notice(guest)
    except errors.HypervisorError as err:
        logging.warning("What became of the migration of %s is not known: %s", guest.name, err)


def remember_if_left(guest: MigratingGuest) -> None:
    """Remember that all of the guest was sent, as soon as QEMU says so; nothing is raised.

    Whatever comes next, a power cut of this node too: the end is settled later.
    """
    try:
        with guest.monitor() as qmp:
            if has_left(ask(qmp)):
                departure.mark_left(guest.instance)
    except errors.HypervisorError as err:
        logging.warning("%s", err)


def refuse_if_left(guest: MigratingGuest) -> None:
    """Keep a guest that has left this node from being started here anew, as a reboot does.

    Raises:
        errors.HypervisorError: it has left, and what a person has to do.
    """
    if guest.pid() is None or guest.is_stopped():
        return
    try:
        with guest.monitor(settings.LISTING.seconds()) as qmp:
            view = ask(qmp)
    except errors.HypervisorError as err:
        logging.info("QEMU of %s does not tell whether the guest has left: %s", guest.name, err)
        return
    if has_left(view):
        departure.mark_left(guest.instance)
        raise errors.HypervisorError(
            f"Instance {guest.name} has left this node by migration; {guest.process()} is what"
            f" stayed behind, and nothing was done to it. Run 'gnt-instance migrate --cleanup"
            f" {guest.name}'"
        )


def _may_go_on(noted: note.Noted, view: View) -> bool:
    if noted.run_state != "running" or view.run_state != "paused" or not is_at_rest(view):
        return False
    # a migration that is just being begun looks the same for a moment
    return noted.aborted or noted.age > _begun_by_now()


def _is_old(began: float) -> bool:
    return time.time() - began > _begun_by_now()


def _begun_by_now() -> float:
    return 2 * settings.MIGRATION.seconds()
