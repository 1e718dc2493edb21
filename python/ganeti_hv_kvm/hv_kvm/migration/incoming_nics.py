"""The network scripts of a guest that comes from another node.

A route must not lead here while the guest still runs there, so NICs in routed mode are set up once
it has arrived. The development version of Ganeti has a mode "ext" as well, whose scripts run twice
and learn from MIGRATION_PHASE which time it is.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ganeti import constants, errors, utils

from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.host import nic_scripts, taps
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime

from . import info

if TYPE_CHECKING:
    from ganeti import objects

_PHASE = "MIGRATION_PHASE"

#: (instance, number of the NIC, NIC, interface) and, in the development version, extra_env=
ConfigureNic = Callable[..., None]


def _has_ext() -> bool:
    return hasattr(constants, "NIC_MODE_EXT")


def _is_ext(nic: objects.NIC) -> bool:
    return _has_ext() and taps.mode(nic) == constants.NIC_MODE_EXT


def check(nics: Iterable[objects.NIC]) -> None:
    """Look whether it is known of each NIC when it is to be set up.

    Raises:
        errors.HypervisorError: of one it is not.
    """
    for nic in nics:
        taps.mode(nic)


def before_arrival(configure: ConfigureNic) -> ConfigureNic:
    """Make what sets up the NICs of a guest into what does so for one that is still to come."""

    def prepare(instance: objects.Instance, seq: int, nic: objects.NIC, tap: str) -> None:
        if not _is_ext(nic):
            configure(instance, seq, nic, tap)
            return
        try:
            configure(instance, seq, nic, tap, extra_env={_PHASE: "pre"})
        except errors.HypervisorError as err:
            logging.warning("%s, NIC %d, before the migration: %s", instance.name, seq, err)

    return prepare


def _nics(text: str) -> list[objects.NIC]:
    return KVMRuntime.from_serialized(info.runtime_of(text)).kvm_nics


def undo(guest: Guest, text: str) -> None:
    """Undo ``before_arrival`` for a guest that will not come; nothing is raised."""
    if not nic_scripts.are_undone():
        return
    try:
        known = [(nic, taps.waits_for_migration(nic)) for nic in _nics(text)]
    except errors.GenericError as err:
        logging.warning("The NICs of %s are not known, so not undone: %s", guest.name, err)
        return
    there = [(seq, nic) for seq, (nic, waits) in enumerate(known) if not waits]
    nic_scripts.undo_each(guest.instance, guest.files, there)
    # the others were never set up: the clean-up that follows must not undo them
    for seq, (_, waits) in enumerate(known):
        if waits:
            with contextlib.suppress(OSError):
                utils.RemoveFile(guest.files.nic_file(seq))


def after_arrival(guest: Guest, text: str) -> None:
    """Set up the NICs that waited for the guest; what fails is only logged: the guest is here."""
    for seq, nic in enumerate(_nics(text)):
        phase = {"extra_env": {_PHASE: "post"}} if _has_ext() else {}
        try:
            if not (taps.waits_for_migration(nic) or _is_ext(nic)):
                continue
            tap = utils.ReadFile(guest.files.nic_file(seq))
            guest.seams.configure_nic(guest.instance, seq, nic, tap, **phase)
        except (OSError, errors.HypervisorError) as err:
            logging.warning("%s, NIC %d, after the migration: %s", guest.name, seq, err)
