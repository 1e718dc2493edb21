"""What the guest starts from: kernel, network, CD-ROMs, floppy. Disks are in storage.py."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ganeti import constants, errors, utils

from ganeti_hv_kvm.hv_kvm.devices.description import Device
from ganeti_hv_kvm.hv_kvm.devices.places import LSI_CDROM_TARGETS
from ganeti_hv_kvm.hv_kvm.ganeti import boot_type
from ganeti_hv_kvm.hv_kvm.ganeti.generation import Dialect
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import text, text_or_none
from ganeti_hv_kvm.hv_kvm.kvm_utils import DictToQemuStringNotation
from ganeti_hv_kvm.hv_kvm.qemu.facts import QemuFacts

from . import ide, iothreads
from .option import properties
from .request import StartRequest

_CDROM_1 = "cdrom1"
_CDROM_2 = "cdrom2"
_FLOPPY = "floppy1"

# Disks get the targets from 0 on; a CD-ROM without a target of its own would take the first one's
# and QEMU refuse the disk ("lun already used").
_SCSI_TARGETS = {_CDROM_1: constants.MAX_DISKS + 1, _CDROM_2: constants.MAX_DISKS}
_LSI_TARGETS = dict(zip((_CDROM_1, _CDROM_2), LSI_CDROM_TARGETS, strict=True))

# The ports of a q35's SATA controller, which QEMU calls buses.
SATA_PLACES: tuple[ide.Place, ...] = ((0, 0), (1, 0))
_SATA_PLACES = dict(zip((_CDROM_1, _CDROM_2), SATA_PLACES, strict=True))

# Its words in each dialect, as long as they say nothing about auto-read-only.
_FLOPPY_WORDS = re.compile(
    rf"(?:file=.*,if=floppy|driver=raw,node-name={_FLOPPY},(?!.*auto-read-only).*)"
)

_BLOCKDEV_CDROM_DRIVERS: Mapping[str, str] = {
    constants.HT_DISK_IDE: "ide-cd",
    constants.HT_DISK_PARAVIRTUAL: "virtio-blk-pci",
    constants.HT_DISK_SCSI_CD: "scsi-cd",
}


def boots_from(hvp: Mapping[str, object], source: str) -> bool:
    """Whether the guest starts from ``source`` (a value of boot_order); a kernel comes first."""
    return boot_type.follows_boot_order(hvp) and bool(hvp[constants.HV_BOOT_ORDER] == source)


def boot_option(dialect: Dialect, letter: str) -> list[str]:
    """-boot with QEMU's letter: c disk, d CD-ROM, n network; nothing if the device says it."""
    return [] if dialect.boot_by_index else ["-boot", f"{dialect.boot_prefix}{letter}"]


def boot_index(dialect: Dialect, boots: bool, index: int = 1) -> int | None:
    """The property of a device that the guest starts from, in a dialect that has it there."""
    return index if dialect.boot_by_index and boots else None


def network(request: StartRequest) -> list[str]:
    """-boot from the network."""
    if not boots_from(request.hvp, constants.HT_BO_NETWORK):
        return []
    return boot_option(request.dialect, "n")


def kernel(request: StartRequest) -> list[str]:
    """-kernel, -initrd, -append: a kernel from the node's file system."""
    hvp = request.hvp
    if not boot_type.kernel(hvp):
        return []
    words = [f"root={hvp[constants.HV_ROOT_PATH]}", text(hvp, constants.HV_KERNEL_ARGS)]
    if hvp[constants.HV_SERIAL_CONSOLE]:
        words.append(f"console=ttyS0,{hvp[constants.HV_SERIAL_SPEED]}")
    initrd = text_or_none(hvp, constants.HV_INITRD_PATH)
    return [
        *("-kernel", text(hvp, constants.HV_KERNEL_PATH)),
        *(("-initrd", initrd) if initrd else ()),
        *("-append", " ".join(words)),
    ]


def _images(hvp: Mapping[str, object]) -> list[tuple[str, str]]:
    """(node name, image) of each CD-ROM."""
    both = (
        (_CDROM_1, text_or_none(hvp, constants.HV_CDROM_IMAGE_PATH)),
        (_CDROM_2, text_or_none(hvp, constants.HV_KVM_CDROM2_IMAGE_PATH)),
    )
    return [(node, image) for node, image in both if image]


def _cdrom_model(request: StartRequest, node: str) -> str:
    hvp = request.hvp
    if _boots_from_cdrom(request, node) and not request.dialect.blockdev:
        return str(constants.HT_DISK_IDE)
    if model := hvp[constants.HV_KVM_CDROM_DISK_TYPE]:
        return str(model)
    # Unset, it is the disks' own type. On a q35 that cannot be: SeaBIOS starts from no virtio
    # CD-ROM. And on a SCSI bus a CD-ROM is a scsi-cd, whatever the disks are.
    if request.is_q35:
        return str(constants.HT_DISK_IDE)
    default = hvp[constants.HV_DISK_TYPE]
    on_scsi = request.dialect.blockdev and default in constants.HT_SCSI_DEVICE_TYPES
    return str(constants.HT_DISK_SCSI_CD if on_scsi else default)


def has_scsi_cdrom(request: StartRequest) -> bool:
    """Whether a CD-ROM needs a SCSI controller."""
    if request.dialect.blockdev:
        return request.hvp[constants.HV_KVM_CDROM_DISK_TYPE] in constants.HT_SCSI_DEVICE_TYPES
    models = (_cdrom_model(request, node) for node, _ in _images(request.hvp))
    return any(model in constants.HT_SCSI_DEVICE_TYPES for model in models)


def _boots_from_cdrom(request: StartRequest, node: str) -> bool:
    return node == _CDROM_1 and boots_from(request.hvp, constants.HT_BO_CDROM)


def _ide_cdroms(request: StartRequest) -> list[str]:
    images = (node for node, _ in _images(request.hvp))
    return [node for node in images if _cdrom_model(request, node) == constants.HT_DISK_IDE]


def ide_places(request: StartRequest) -> dict[str, ide.Place]:
    """Tell where the IDE devices of a new guest sit on its buses.

    CD-ROMs come first, by node name; then its disks, by their number as text.

    Raises HypervisorError if they are too many.
    """
    cdroms = _ide_cdroms(request)
    on_ide = request.hvp[constants.HV_DISK_TYPE] == constants.HT_DISK_IDE
    disks = request.disk_count if on_ide and not request.is_q35 else 0
    places = ide.new_places(len(cdroms), disks, is_q35=request.is_q35, extra=request.extra)
    named = dict(zip([*cdroms, *map(str, range(disks))], places, strict=True))
    if request.is_q35:
        named |= {node: _SATA_PLACES[node] for node in cdroms}
    return named


def _cdrom_device(request: StartRequest, driver: str, node: str) -> list[str]:
    target: dict[str, object] = {}
    index = boot_index(request.dialect, _boots_from_cdrom(request, node))
    among_disks = request.hvp[constants.HV_DISK_TYPE] in constants.HT_SCSI_DEVICE_TYPES
    if driver == "scsi-cd" and among_disks:
        lsi = request.hvp[constants.HV_KVM_SCSI_CONTROLLER_TYPE] == constants.HT_SCSI_CONTROLLER_LSI
        target = {"scsi-id": (_LSI_TARGETS if lsi else _SCSI_TARGETS)[node]}
    place = ide_places(request).get(node) if driver == "ide-cd" else None
    words = {"driver": driver, **(ide.place_words(place) if place else {}), "drive": node, **target}
    if index is not None:
        words["bootindex"] = index
    in_json = driver == "scsi-cd" and iothreads.controller_is_in_json(request)
    return ["-device", Device(words).as_argument(in_json=in_json)]


def _cdrom_drive(request: StartRequest, node: str, image: str) -> list[str]:
    model = _cdrom_model(request, node)
    flagged = _boots_from_cdrom(request, node) and request.facts.needs_boot_flag
    scsi = model in constants.HT_SCSI_DEVICE_TYPES
    device = _cdrom_device(request, "scsi-cd", node) if scsi else []
    return ["-drive", cdrom_drive(model, image, node, boot_flag=flagged), *device]


def cdrom_drive(model: str, image: str, node: str, *, boot_flag: bool) -> str:
    """-drive's argument for a CD-ROM; ``boot_flag`` is what old QEMU starts from it by."""
    scsi = model in constants.HT_SCSI_DEVICE_TYPES
    virtio = model == constants.HT_DISK_PARAVIRTUAL
    return properties(
        ("file", image),
        ("media", "cdrom"),
        None if utils.IsUrl(image) else ("format", "raw"),
        # -drive has no if= for the scsi-* models; they need a device of their own.
        ("if", "none" if scsi else "virtio" if virtio else model),
        ("boot", "on") if boot_flag else None,
        ("id", node) if scsi else None,
    )


def cdrom_driver(model: str) -> str:
    """QEMU's driver of a CD-ROM with a block node; raises HypervisorError if there is none."""
    driver = _BLOCKDEV_CDROM_DRIVERS.get(model)
    if driver is None:
        raise errors.HypervisorError(
            f"a CD-ROM cannot be of type {model}; set {constants.HV_KVM_CDROM_DISK_TYPE} to one of"
            f" {', '.join(sorted(_BLOCKDEV_CDROM_DRIVERS))}"
        )
    return driver


def _cdrom_blockdev(request: StartRequest, node: str, image: str) -> list[str]:
    driver = cdrom_driver(_cdrom_model(request, node))
    return ["-blockdev", cdrom_block(node, image), *_cdrom_device(request, driver, node)]


def cdrom_block(node: str, image: str) -> str:
    """-blockdev's argument for a CD-ROM."""
    if utils.IsUrl(image):
        file = {"driver": image.partition(":")[0].lower(), "url": image}
    else:
        file = {"driver": "file", "filename": image}
    block = {
        "driver": "raw",
        "cache": {"direct": False, "no-flush": True},
        "read-only": True,
        "node-name": node,
        "file": file,
    }
    return DictToQemuStringNotation(block)


def cdroms(request: StartRequest) -> list[str]:
    """The two CD-ROM drives, each if it has an image; the first can be started from."""
    describe = _cdrom_blockdev if request.dialect.blockdev else _cdrom_drive
    arguments: list[str] = []
    for node, image in _images(request.hvp):
        if _boots_from_cdrom(request, node):
            arguments += boot_option(request.dialect, "d")
        arguments += describe(request, node, image)
    return arguments


def floppy(request: StartRequest) -> list[str]:
    """The floppy drive, if it has an image."""
    image = request.hvp[constants.HV_KVM_FLOPPY_IMAGE_PATH]
    if not image:
        return []
    boots = boots_from(request.hvp, constants.HT_BO_FLOPPY)
    # In each dialect: QEMU's floppy has no bootindex, as its controller is what starts from it.
    first = ["-boot", "a"] if boots else []
    if request.dialect.blockdev:
        file = {"driver": "file", "filename": image}
        block = {"driver": "raw", "node-name": _FLOPPY, "file": file}
        return [
            *first,
            *("-blockdev", DictToQemuStringNotation(block)),
            *("-device", properties("floppy", ("drive", _FLOPPY))),
        ]
    drive = properties(
        ("file", image),
        ("format", "raw"),
        ("media", "disk"),
        ("boot", "on") if boots and request.facts.needs_boot_flag else None,
        ("if", "floppy"),
    )
    return [*first, "-drive", drive]


def floppy_for_good(
    command: Sequence[str], hvp: Mapping[str, object], facts: QemuFacts
) -> list[str]:
    """A command whose floppy stays open for writing, where QEMU could not open it once more.

    At the end of a migration QEMU would, on either side, by the image's path. Inside a chroot that
    is not there, and the source sends no guest ("bdrv_inactivate_all() failed"); another user may
    not write to it, and a guest that had arrived was stuck for good ("Permission denied").
    """
    confined = (
        hvp[constants.HV_KVM_USE_CHROOT] or hvp[constants.HV_SECURITY_MODEL] != constants.HT_SM_NONE
    )
    if not (confined and facts.has_auto_read_only):
        return list(command)
    return [
        f"{word},auto-read-only=off" if _FLOPPY_WORDS.fullmatch(word) else word for word in command
    ]
