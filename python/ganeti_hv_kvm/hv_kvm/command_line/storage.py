"""The guest's disks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.devices import description
from ganeti_hv_kvm.hv_kvm.devices.description import OPENED_FOR_GOOD, Backend
from ganeti_hv_kvm.hv_kvm.devices.places import device_id, drive_uri, is_userspace
from ganeti_hv_kvm.hv_kvm.ganeti import boot_type
from ganeti_hv_kvm.hv_kvm.ganeti.generation import DISCARD_DEFAULT
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import text, text_or_none
from ganeti_hv_kvm.hv_kvm.kvm_utils import (
    EffectiveCache,
    GetCacheSettings,
    ParseStorageUriToBlockdevParam,
)
from ganeti_hv_kvm.hv_kvm.qemu.facts import QemuFacts

from . import ide, iothreads
from .boot import boot_index, boot_option, boots_from
from .option import vcpus_of
from .request import Completion

if TYPE_CHECKING:
    from ganeti import objects


def aio_cache(disk_aio: str | None, disk_cache: str, dev_type: str) -> str:
    """The aio and cache properties of -drive, each with a comma before it.

    Native AIO needs cache=none; what is neither native nor set goes through QEMU's threads.
    """
    cache: str | None = EffectiveCache(disk_cache, dev_type)
    aio = constants.HT_KVM_AIO_THREADS
    if disk_aio == constants.HT_KVM_AIO_NATIVE:
        aio, cache = disk_aio, constants.HT_CACHE_NONE
    elif cache == constants.HT_CACHE_DEFAULT:
        cache = None
    return f",aio={aio}" + (f",cache={cache}" if cache else "")


def block_node(
    target: str,
    disk: objects.Disk,
    hvp: Mapping[str, object],
    node_name: str,
    *,
    has_auto_read_only: bool = False,
) -> Backend:
    """The block node of a disk.

    ``target`` is a file, a block device or, with access mode userspace, a storage URI. Raises
    HypervisorError for a URI or a cache mode that QEMU does not know.
    """
    _, direct, no_flush = GetCacheSettings(text(hvp, constants.HV_DISK_CACHE), disk.dev_type)
    if is_userspace(disk):
        protocol = ParseStorageUriToBlockdevParam(target)
    else:
        is_file = disk.dev_type in constants.DTS_FILEBASED
        protocol = {
            "driver": "file" if is_file else "host_device",
            "filename": target,
            "aio": hvp[constants.HV_KVM_DISK_AIO] or constants.HT_KVM_AIO_THREADS,
        }
    discard = hvp[constants.HV_DISK_DISCARD]
    return Backend(
        {
            "driver": "raw",
            "node-name": node_name,
            # A guest started by Ganeti 3.0 may say "default", which block nodes do not know.
            "discard": discard if discard in ("ignore", "unmap") else constants.HT_DISCARD_IGNORE,
            "cache": {"direct": direct, "no-flush": no_flush},
            "file": protocol,
            **(OPENED_FOR_GOOD if has_auto_read_only else {}),
        }
    )


def _node_name(disk: objects.Disk) -> str:
    hvinfo = disk.hvinfo or {}
    return str(hvinfo.get("id") or device_id(constants.HOTPLUG_TARGET_DISK, disk))


def _driver(model: str) -> str:
    return "virtio-blk-pci" if model == constants.HT_DISK_PARAVIRTUAL else model


def _blockdev_driver(completion: Completion) -> str:
    model = text(completion.hvp, constants.HV_DISK_TYPE)
    driver = "ide-hd" if model == constants.HT_DISK_IDE else _driver(model)
    if not completion.facts.has_device(driver):
        raise errors.HypervisorError(
            f"{completion.facts.path} has no device {driver}, which"
            f" {constants.HV_DISK_TYPE}={model} needs"
        )
    return driver


class _Served(NamedTuple):
    """How a guest's disks are served beside QEMU's main loop.

    Attributes:
        threads: what that adds to a disk of its own, as -device's properties.
        in_json: their SCSI controller is said in JSON, so they must be too.
    """

    threads: Mapping[str, object]
    in_json: bool


def _served(completion: Completion, command: Sequence[str]) -> _Served:
    hvp, vcpus = completion.hvp, vcpus_of(command)
    threads = iothreads.disk_properties(hvp, iothreads.count(hvp, completion.facts, vcpus), vcpus)
    threads = threads or _served_by_tag(completion, vcpus)
    on_scsi = hvp[constants.HV_DISK_TYPE] in constants.HT_SCSI_DEVICE_TYPES
    return _Served(threads, on_scsi and iothreads.is_said_in_json(command))


def _served_by_tag(completion: Completion, vcpus: int) -> dict[str, object]:
    options, hvp, facts = completion.options, completion.hvp, completion.facts
    return iothreads.tag_properties(hvp, iothreads.count_by_tag(options, hvp, facts, vcpus))


def _blockdev(
    completion: Completion, disk: objects.Disk, target: str, boot: bool, served: _Served
) -> list[str]:
    hvp, node = completion.hvp, _node_name(disk)
    writeback, _, _ = GetCacheSettings(text(hvp, constants.HV_DISK_CACHE), disk.dev_type)
    on_ide = hvp[constants.HV_DISK_TYPE] == constants.HT_DISK_IDE
    place = ide.device_words(disk.hvinfo) if on_ide else iothreads.without_threads(disk.hvinfo)
    device = description.disk(
        place,
        node,
        writeback,
        boot_index=boot_index(completion.dialect, boot),
        threads=served.threads,
    )
    has_auto_read_only = completion.facts.has_auto_read_only
    block = block_node(target, disk, hvp, node, has_auto_read_only=has_auto_read_only)
    return [
        *("-device", device.as_argument(in_json=served.in_json)),
        *("-blockdev", block.as_argument()),
    ]


def drive(
    disk: objects.Disk,
    target: str,
    hvp: Mapping[str, object],
    facts: QemuFacts,
    *,
    boot: bool = False,
) -> Backend:
    """A disk's legacy drive, -drive: what Ganeti 3.0 knows.

    Args:
        target: a file, a block device or, with access mode userspace, a storage URI.
        boot: old QEMU is told by a flag that the guest starts from it.
    """
    model, discard = text(hvp, constants.HV_DISK_TYPE), hvp[constants.HV_DISK_DISCARD]
    has_device = facts.has_device(_driver(model))
    # QEMU without this device model has a bus by the name instead.
    bus = "virtio" if model == constants.HT_DISK_PARAVIRTUAL else model
    cache = aio_cache(
        text_or_none(hvp, constants.HV_KVM_DISK_AIO),
        text(hvp, constants.HV_DISK_CACHE),
        disk.dev_type,
    )
    words: dict[str, object] = {
        "file": target,
        "format": "raw",
        "if": "none" if has_device else bus,
    }
    if boot and facts.needs_boot_flag and model != constants.HT_DISK_IDE:
        words["boot"] = True
    words |= dict(word.split("=") for word in cache.removeprefix(",").split(","))
    if discard not in ("", DISCARD_DEFAULT):
        words["discard"] = discard
    if has_device:
        words["id"] = _node_name(disk)
    return Backend({**words, **(OPENED_FOR_GOOD if facts.has_auto_read_only else {})})


def _drive(
    completion: Completion,
    disk: objects.Disk,
    target: str,
    boot: bool,
    threads: Mapping[str, object],
) -> list[str]:
    hvp, facts = completion.hvp, completion.facts
    arguments = ["-drive", drive(disk, target, hvp, facts, boot=boot).as_argument()]
    if not facts.has_device(_driver(text(hvp, constants.HV_DISK_TYPE))):
        return arguments
    device = description.disk(disk.hvinfo, _node_name(disk), None, threads=threads)
    return ["-device", device.as_argument(), *arguments]


def disks(completion: Completion, command: Sequence[str]) -> list[str]:
    """-boot and the disks, in order.

    Raises HypervisorError for a read-only disk or a device model that QEMU does not have.
    """
    dialect = completion.dialect
    if dialect.blockdev:
        _blockdev_driver(completion)
        served = _served(completion, command)
    by_tag = _served_by_tag(completion, vcpus_of(command))
    boots = boots_from(completion.hvp, constants.HT_BO_DISK)
    arguments: list[str] = []
    data_disks = boot_type.numbered_data_disks(completion.disks)
    for place, (index, (disk, link, uri)) in enumerate(data_disks):
        if disk.mode != constants.DISK_RDWR:
            raise errors.HypervisorError(
                f"disk {index} of {completion.instance.name} is read-only; KVM disks cannot be"
            )
        boot = boots and place == 0
        if boot:
            arguments += boot_option(dialect, "c")
        target = drive_uri(disk, link, uri)
        if dialect.blockdev:
            arguments += _blockdev(completion, disk, target, boot, served)
        else:
            arguments += _drive(completion, disk, target, boot, by_tag)
    return arguments
