"""What a guest is to be started with: the content of its runtime file."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ganeti import constants, pathutils, utils

from ganeti_hv_kvm.hv_kvm import bus_manager, command_line, validation
from ganeti_hv_kvm.hv_kvm.bus_manager import BusAllocatorManager
from ganeti_hv_kvm.hv_kvm.command_line import Paths, StartRequest
from ganeti_hv_kvm.hv_kvm.devices import q35
from ganeti_hv_kvm.hv_kvm.devices.places import device_id
from ganeti_hv_kvm.hv_kvm.ganeti import boot_type, guest_options
from ganeti_hv_kvm.hv_kvm.ganeti.block_devices import BlockDevice
from ganeti_hv_kvm.hv_kvm.ganeti.guest_options import Options
from ganeti_hv_kvm.hv_kvm.guest.files import InstanceFiles
from ganeti_hv_kvm.hv_kvm.host import bind_address, firmware_disk, firmware_seed, nic_mtu
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime
from ganeti_hv_kvm.hv_kvm.qemu.facts import QemuFacts

if TYPE_CHECKING:
    from ganeti import objects


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
    instance: objects.Instance,
    block_devices: Iterable[BlockDevice],
    startup_paused: bool,
    files: InstanceFiles,
    facts: QemuFacts,
    *,
    options: Options | None = None,
) -> KVMRuntime:
    """Lay out the command and the devices of a guest; nothing is started or written.

    Each disk and NIC gets its place on the guest's buses, as ``hvinfo``.

    Args:
        instance: Ganeti's ``objects.Instance``.
        block_devices: its disks, as (``objects.Disk``, path of the device, URI or None).
        startup_paused: leave the guest paused before its first instruction.
        options: what the instance's tags ask for; None: read them, those that are right.

    Raises:
        errors.HypervisorError: parameters that QEMU or this node cannot fulfil.
    """
    if options is None:
        options = guest_options.for_running(instance)
    hvp = instance.hvparams
    all_disks = _with_firmware(instance, block_devices, options)
    disks = boot_type.data_disks(all_disks)
    nics = list(instance.nics)
    request = StartRequest(
        instance=instance,
        facts=facts,
        paths=paths(files),
        display=bind_address.resolve(hvp),
        startup_paused=startup_paused,
        disk_count=len(disks),
        needs_smm=_needs_smm(instance, all_disks, options),
        options=options,
    )
    if request.machine != hvp[constants.HV_KVM_MACHINE_VERSION]:
        # after a newer QEMU has come the guest finds another machine than before
        logging.info("Instance %s is born as a machine %s", instance.name, request.machine)
        # by this upstream's module tells, at a hot-plug, which buses the guest has
        hvp = {**hvp, constants.HV_KVM_MACHINE_VERSION: request.machine}
    if request.is_q35:
        # QEMU's default machine may be one, which no check of parameters has seen
        validation.validate_q35_capability(hvp, facts.machines)
    command = command_line.build(request)
    buses = bus_manager.place_all(
        hvp,
        [disk for disk, _, _ in disks],
        nics,
        root_ports=request.is_q35,
        taken=command_line.named_places.of(command),
    )
    for nic in nics:
        nic.hvinfo = {**(nic.hvinfo or {}), **nic_mtu.at_birth(nic, options)}
    # last: disks and NICs are where they would be without it
    command += _device_for_memory(request, buses)
    _place_on_ide(request, [disk for disk, _, _ in disks])
    return KVMRuntime([command, nics, hvp, all_disks])


def _place_on_ide(request: StartRequest, disks: list[objects.Disk]) -> None:
    on_ide = request.hvp[constants.HV_DISK_TYPE] == constants.HT_DISK_IDE
    if on_ide and not request.is_q35:
        places = command_line.ide_places(request)  # also says that there are too many
        for index, disk in enumerate(disks if request.dialect.blockdev else ()):
            own = disk.hvinfo or {"id": device_id(constants.HOTPLUG_TARGET_DISK, disk)}
            disk.hvinfo = command_line.ide.hvinfo(own, places[str(index)])


def _with_firmware(
    instance: objects.Instance, block_devices: Iterable[BlockDevice], options: Options
) -> list[BlockDevice]:
    """The instance's disks; that which tags make one of firmware is no other from here on."""
    disks = list(block_devices)
    if options.asks_for_uefi:
        firmware_seed.choose(instance.name, disks)
    return disks


def _needs_smm(instance: objects.Instance, disks: list[BlockDevice], options: Options) -> bool:
    """Whether the guest has UEFI firmware that runs in system management mode alone."""
    if options.asks_for_uefi and (seed := firmware_seed.planned(instance.name, disks)):
        return seed.needs_smm
    if not (options.asks_for_uefi or boot_type.uses_ovmf(boot_type.of(instance.hvparams))):
        return False
    return firmware_disk.needs_smm(firmware_disk.look(instance.name, disks, instance.hvparams))


def _device_for_memory(request: StartRequest, buses: BusAllocatorManager) -> list[str]:
    """The words of the device by which the guest can get more memory, if it is to have one."""
    if not command_line.memory.is_wanted(request.hvp):
        return []
    place = dict(request.fixed_place(q35.Function.MEMORY))
    return command_line.memory.device(
        place or bus_manager.place_on_pci(buses, command_line.memory.DEVID)
    )
