"""QEMU's command line: an instance, its parameters and probed facts go in, arguments come out.

Nothing here touches the system. The command has two parts, as the runtime file keeps only the
first: ``build`` makes what describes the guest, ``complete`` adds what belongs to one execution on
one node. No secret is part of either.

Each dialect is a list of sections in the order of the original it stands for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from . import (
    boot,
    by_name,
    display,
    guest_devices,
    ide,
    iothreads,
    machine,
    memory,
    memory_backing,
    named_places,
    network,
    old_words,
    peripherals,
    process,
    storage,
    uefi,
    vcpus,
)
from .boot import ide_places
from .display import takes_password
from .guest_devices import has_balloon
from .network import DEFERRED, device_features, tap_features
from .option import vcpus_of
from .process import START_PAUSED
from .request import (
    AttachedNic,
    Completion,
    Display,
    FirmwareDisk,
    LateSection,
    Paths,
    Section,
    StartRequest,
)
from .storage import aio_cache, block_node, drive

__all__ = [
    "DEFERRED",
    "START_PAUSED",
    "AttachedNic",
    "Completion",
    "Display",
    "FirmwareDisk",
    "Paths",
    "StartRequest",
    "aio_cache",
    "block_node",
    "build",
    "by_name",
    "complete",
    "device_features",
    "drive",
    "has_balloon",
    "ide",
    "ide_places",
    "memory",
    "named_places",
    "takes_password",
    "tap_features",
    "uefi",
    "vcpus",
    "vcpus_of",
]

_HEAD: tuple[Section, ...] = (
    machine.name,
    memory.size,
    vcpus.processors,
    machine.pidfile,
    machine.root_ports,
)

_MIDDLE: tuple[Section, ...] = (
    machine.paused,
    boot.network,
    boot.cdroms,
    boot.floppy,
    boot.kernel,
    machine.memory_backing,
    peripherals.monitor,
    peripherals.serial,
    peripherals.usb,
    display.screen,
)

_TAIL: tuple[Section, ...] = (
    machine.cpu,
    display.vga,
    peripherals.usb_devices,
    machine.uuid,
    peripherals.guest_agent,
    guest_devices.before_extra,
    peripherals.extra,
    guest_devices.behind_extra,
)

_STORED: Mapping[str, tuple[Section, ...]] = {
    "drive": (
        *_HEAD,
        peripherals.sound,
        peripherals.scsi_controller,
        peripherals.balloon,
        machine.daemon,
        machine.acpi,
        machine.reboot,
        uefi.flash,
        machine.machine,
        *_MIDDLE,
        machine.clock,
        process.stored_chroot,
        *_TAIL,
    ),
    "blockdev": (
        *_HEAD,
        peripherals.scsi_controller,
        peripherals.balloon,
        machine.daemon,
        machine.reboot,
        machine.acpi,
        uefi.flash,
        machine.machine,
        *_MIDDLE,
        peripherals.sound,
        machine.clock,
        *_TAIL,
    ),
}

_LATE: tuple[LateSection, ...] = (
    process.keymap,
    network.cards,
    network.incoming,
    process.monitors,
    storage.disks,
    process.start_paused,
)

_ADDED: Mapping[str, tuple[LateSection, ...]] = {
    "drive": (
        iothreads.objects,
        memory_backing.objects,
        process.configured_user,
        *_LATE,
        process.pool_user,
    ),
    "blockdev": (iothreads.objects, memory_backing.objects, *_LATE, process.user_and_chroot),
}


def build(request: StartRequest) -> list[str]:
    """The command as the runtime file keeps it, QEMU's path first.

    Raises HypervisorError for what cannot be said to this QEMU.
    """
    command = [request.facts.path]
    for section in _STORED[request.dialect.name]:
        command += section(request)
    command = old_words.translate(command, request.facts)
    return boot.floppy_for_good(command, request.hvp, request.facts)


def complete(command: Sequence[str], completion: Completion) -> list[str]:
    """A stored command with what this execution adds to it; ``command`` stays as it is.

    Raises HypervisorError for what cannot be said to this QEMU.
    """
    whole = old_words.translate([str(word) for word in command], completion.facts)
    whole = boot.floppy_for_good(whole, completion.today, completion.facts)
    whole = iothreads.with_controller_served(whole, completion)
    whole = uefi.from_disk(whole, completion.firmware)
    whole = memory.with_request(whole, completion)
    for section in _ADDED[completion.dialect.name]:
        whole += section(completion, whole)
    return whole
