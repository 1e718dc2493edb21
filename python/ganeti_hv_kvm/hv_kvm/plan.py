"""What a guest is to be started with: the content of its runtime file."""

from __future__ import annotations

import logging
from typing import Any

from ganeti import constants, pathutils, utils

from . import bind_address, bus_manager, command_line, validation
from .command_line import Paths, StartRequest
from .instance_files import InstanceFiles
from .kvm_runtime import KVMRuntime
from .qemu_binary import QemuFacts


def log_file(name: str) -> str:
    """Where QEMU writes its own log of an instance (-D)."""
    return str(utils.PathJoin(pathutils.LOG_KVM_DIR, f"{name}.log"))


def paths(files: InstanceFiles) -> Paths:
    """All paths that QEMU's command line may name."""
    return Paths(
        pidfile=files.pidfile,
        logfile=log_file(files.name),
        monitor=files.monitor,
        serial=files.serial,
        qmp=files.qmp,
        kvmd=files.kvmd,
        guest_agent=files.qga,
        chroot=files.chroot,
        spice_cacert=pathutils.SPICE_CACERT_FILE,
        spice_cert=pathutils.SPICE_CERT_FILE,
    )


def make_runtime(
    instance: Any,
    block_devices: Any,
    startup_paused: bool,
    files: InstanceFiles,
    facts: QemuFacts,
) -> KVMRuntime:
    """Lay out the command and the devices of a guest; nothing is started or written.

    Each disk and NIC gets its place on the guest's buses, as ``hvinfo``.

    Args:
        instance: Ganeti's ``objects.Instance``.
        block_devices: its disks, as (``objects.Disk``, path of the device, URI or None).
        startup_paused: leave the guest paused before its first instruction.

    Raises:
        errors.HypervisorError: parameters that QEMU or this node cannot fulfil.
    """
    hvp = instance.hvparams
    disks = list(block_devices)
    nics = list(instance.nics)
    request = StartRequest(
        instance=instance,
        facts=facts,
        paths=paths(files),
        display=bind_address.resolve(hvp),
        startup_paused=startup_paused,
        disk_count=len(disks),
    )
    if request.machine != hvp[constants.HV_KVM_MACHINE_VERSION]:
        # after a newer QEMU has come the guest finds another machine than before
        logging.info("Instance %s is born as a machine %s", instance.name, request.machine)
    if request.is_q35:
        # QEMU's default machine may be one, which no check of parameters has seen
        hvp = {**hvp, constants.HV_KVM_MACHINE_VERSION: request.machine}
        validation.validate_q35_capability(hvp, facts.machines)
    command = command_line.build(request)
    bus_manager.place_all(
        hvp,
        [disk for disk, _, _ in disks],
        nics,
        root_ports=request.is_q35,
        taken=command_line.named_places.of(command),
    )
    on_ide = hvp[constants.HV_DISK_TYPE] == constants.HT_DISK_IDE
    if on_ide and request.dialect.blockdev and not request.is_q35:
        places = command_line.ide_places(request)
        for index, (disk, _, _) in enumerate(disks):
            disk.hvinfo = command_line.ide.hvinfo(disk.hvinfo, places[str(index)])
    return KVMRuntime([command, nics, hvp, disks])
