"""What a guest was born with, and must find again where it goes.

Its source asks QEMU, which knows; where the source is Ganeti's own module, the stored words have to
tell it. A guest of which nobody knows where its disks are is not taken: it was seen to lose them.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from ganeti import constants, errors

from ganeti_hv_kvm import json_shapes as shapes
from ganeti_hv_kvm.hv_kvm.command_line import ide, runtime_upgrade
from ganeti_hv_kvm.hv_kvm.ganeti import boot_type, generation
from ganeti_hv_kvm.hv_kvm.guest import machine_type
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime
from ganeti_hv_kvm.hv_kvm.qemu.facts import QemuFacts
from ganeti_hv_kvm.hv_kvm.qemu.verbs import disks

from . import hardware
from .side import monitor

if TYPE_CHECKING:
    from ganeti_hv_kvm.hv_kvm.monitor import QmpConnection

_COMMAND, _HVPARAMS, _DISKS = 0, 2, 3
# Keys in what travels with the runtime.
_IDE, _MACHINE, _PCI = "ide_words", "machine", "pci"
# QEMU's own name for a disk that -drive if=ide made.
_OWN_NAME = re.compile(r"ide\d+-hd\d+")


def _on_ide(runtime: list[object] | KVMRuntime) -> bool:
    # one that cannot be read is refused elsewhere, with the reason
    hvparams = runtime[_HVPARAMS] if len(runtime) > _HVPARAMS else None
    return isinstance(hvparams, dict) and bool(
        hvparams.get(constants.HV_DISK_TYPE) == constants.HT_DISK_IDE
    )


def tell(guest: Guest, runtime: list[object]) -> dict[str, object]:
    """Ask QEMU for its PCI devices, and for what ``keep`` writes down.

    That is its machine's type, and whose words made IDE disks.
    What QEMU does not tell is left out: the target refuses a guest whose disks it cannot place.
    """
    told: dict[str, object] = {}
    try:
        with monitor(guest) as qmp:
            told[_MACHINE] = machine_type.ask(qmp)
            if _on_ide(runtime) and any(runtime[_DISKS:]):
                names = [one["device"] for one in disks.query_block(qmp)]
                by_drive = any(map(_OWN_NAME.fullmatch, names))
                told[_IDE] = ide.DRIVE if by_drive else ide.BLOCKDEV
            # last: the target can do without
            told[_PCI] = hardware.ask(qmp)
    except errors.HypervisorError as err:
        logging.warning("QEMU of %s does not tell all of its hardware: %s", guest.name, err)
    return told


def keep(runtime: list[object], told: object) -> None:
    """Write into a runtime what its source told."""
    if not isinstance(told, dict):
        return
    machine = told.get(_MACHINE)
    if isinstance(machine, str) and machine_type.NAME.fullmatch(machine):
        machine_type.keep(shapes.items(runtime[_COMMAND]), machine)
        hvparams = runtime[_HVPARAMS] if len(runtime) > _HVPARAMS else None
        if isinstance(hvparams, dict) and constants.HV_KVM_MACHINE_VERSION in hvparams:
            hvparams[constants.HV_KVM_MACHINE_VERSION] = machine
    if told.get(_IDE) in (ide.DRIVE, ide.BLOCKDEV):
        runtime_upgrade.place_ide_disks(runtime, told[_IDE])


def compare(guest: Guest, qmp: QmpConnection, told: object) -> None:
    """Look whether the QEMU that waits has the devices that the source told of.

    Args:
        qmp: a connection to it.
        told: what ``tell`` gave on the source; None where that was Ganeti's own module.

    Raises:
        errors.HypervisorError: it has others; or it does not tell.
    """
    source = hardware.of_source(told.get(_PCI)) if isinstance(told, dict) else None
    if source is None:
        logging.info("The source of %s does not tell which PCI devices it has", guest.name)
        return
    try:
        hardware.check(source, hardware.ask(qmp))
    except errors.HypervisorError as err:
        raise errors.HypervisorError(
            f"Instance {guest.name} was not accepted, and runs on where it is: {err}"
        ) from err


def check(name: str, runtime: KVMRuntime, facts: QemuFacts) -> None:
    """Look whether a guest will find here what it was born with.

    Raises:
        errors.HypervisorError: it will not, or nobody knows; nothing was done.
    """
    try:
        machine_type.check(runtime.kvm_cmd, facts)
        _check_ide(runtime)
    except errors.HypervisorError as err:
        raise errors.HypervisorError(
            f"Instance {name} was not accepted, and runs on where it is: {err}"
        ) from err


def _check_ide(runtime: KVMRuntime) -> None:
    if not generation.HAS_BLOCKDEV or not _on_ide(runtime):
        return
    disks = boot_type.data_disks(runtime.kvm_disks)
    unknown = [disk.uuid for disk, _, _ in disks if not ide.is_placed(disk.hvinfo)]
    if unknown:
        raise errors.HypervisorError(
            f"nobody knows at which places of its IDE buses it has disk {', '.join(unknown)}: one"
            " that Ganeti 3.0 started has them at others than one of 3.1. Enable ganeti-hv-kvm on"
            " its node, where it asks its QEMU; or shut it down, and start it anew"
        )
