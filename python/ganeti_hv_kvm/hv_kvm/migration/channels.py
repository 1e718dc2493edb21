"""Several connections for one encrypted migration (QEMU's capability multifd).

Both nodes have to know of them. The source's QEMU itself remembers what was offered: Ganeti asks
for the offer and for the migration in two processes. Without encryption there is no way to find out
what the target has made of the offer: a QEMU that waits takes any connection for the guest's.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ganeti import errors

from ganeti_hv_kvm.hv_kvm.ganeti import settings
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.qemu.verbs import migration as verbs

from . import capabilities

if TYPE_CHECKING:
    from ganeti_hv_kvm.hv_kvm.monitor import QmpConnection

#: QEMU's name for them, and how many there are where nobody says.
_CAPABILITY = "multifd"
_NUMBER = "multifd-channels"
_DEFAULT = 2


def wanted(guest: Guest) -> int:
    """How many the setting wants, 0 for none.

    With other capabilities of its own a guest goes as its owner says: not all go together.
    """
    number = settings.MIGRATION_CHANNELS.value()
    if number and set(capabilities.of(guest.instance)) - {_CAPABILITY}:
        return 0
    return number


def switch_on(qmp: QmpConnection, number: int) -> None:
    """Have the next migration use so many.

    Raises:
        errors.HypervisorError: QEMU cannot.
    """
    verbs.migrate_set_capabilities(qmp, [_CAPABILITY], True)
    verbs.migrate_set_parameters(qmp, {_NUMBER: number})


def _is_on(qmp: QmpConnection) -> bool:
    return any(
        one["capability"] == _CAPABILITY and one.get("state") is True
        for one in verbs.query_migrate_capabilities(qmp)
    )


def switch_off(qmp: QmpConnection) -> None:
    """Have the next migration use one, unless it is told otherwise.

    Raises:
        errors.HypervisorError: QEMU refuses.
    """
    if _is_on(qmp):
        verbs.migrate_set_capabilities(qmp, [_CAPABILITY], False)
        verbs.migrate_set_parameters(qmp, {_NUMBER: _DEFAULT})


def end(guest: Guest, qmp: QmpConnection) -> None:
    """Switch them off after a migration; a failure is only logged: the next one does so first."""
    try:
        switch_off(qmp)
    except errors.HypervisorError as err:
        logging.warning("QEMU of %s keeps its migration channels: %s", guest.name, err)
