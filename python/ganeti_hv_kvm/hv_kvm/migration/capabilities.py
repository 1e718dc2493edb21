"""Capabilities of migration (parameter migration_caps): set on both ends before, cleared after."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import text_or_none
from ganeti_hv_kvm.hv_kvm.qemu.verbs import migration as verbs

if TYPE_CHECKING:
    from ganeti import objects

    from ganeti_hv_kvm.hv_kvm.monitor import QmpConnection

#: Between the names in the parameter.
DELIMITER = ":"
#: QEMU 2.5 called it x-postcopy-ram.
_POSTCOPY = ("postcopy-ram", "x-postcopy-ram")


def of(instance: objects.Instance) -> list[str]:
    """Name the capabilities that the instance is to migrate with."""
    words = text_or_none(instance.hvparams, constants.HV_KVM_MIGRATION_CAPS) or ""
    return [name for name in words.split(DELIMITER) if name]


def has_postcopy(instance: objects.Instance) -> bool:
    """Whether the guest may run on the target before all its memory is there."""
    return any(name in _POSTCOPY for name in of(instance))


def set_all(instance: objects.Instance, qmp: QmpConnection) -> None:
    """Switch them on.

    Raises:
        errors.HypervisorError: QEMU does not know one of them, or cannot combine them.
    """
    if names := of(instance):
        verbs.migrate_set_capabilities(qmp, names, True)


def clear_all(instance: objects.Instance, qmp: QmpConnection) -> None:
    """Switch them off. The next migration sets its own: a failure is only logged."""
    if names := of(instance):
        try:
            verbs.migrate_set_capabilities(qmp, names, False)
        except errors.HypervisorError as err:
            logging.warning(
                "QEMU of %s keeps the capabilities %s: %s", instance.name, ", ".join(names), err
            )
