"""The guest's disks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.compat import DISCARD_DEFAULT
from ganeti_hv_kvm.hv_kvm.devices import device_id, device_string, drive_uri
from ganeti_hv_kvm.hv_kvm.kvm_utils import (
    DictToQemuStringNotation,
    EffectiveCache,
    GetCacheSettings,
    ParseStorageUriToBlockdevParam,
    TranslateBoolToOnOff,
)

from . import ide, iothreads
from .boot import boot_index, boot_option, boots_from
from .option import Part, properties, vcpus_of
from .request import Completion

# These hand the guest's commands to the host's device; QEMU has no cache mode for them.
_PASSTHROUGH = frozenset({constants.HT_DISK_SCSI_BLOCK, constants.HT_DISK_SCSI_GENERIC})


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


def block_node(target: str, disk: Any, hvp: Mapping[str, Any], node_name: str) -> dict[str, Any]:
    """The block node of a disk, nested as in QMP's blockdev-add.

    ``target`` is a file, a block device or, with access mode userspace, a storage URI. Raises
    HypervisorError for a URI or a cache mode that QEMU does not know.
    """
    _, direct, no_flush = GetCacheSettings(hvp[constants.HV_DISK_CACHE], disk.dev_type)
    access = disk.params.get(constants.LDP_ACCESS, constants.DISK_KERNELSPACE)
    if access == constants.DISK_USERSPACE:
        protocol = ParseStorageUriToBlockdevParam(target)
    else:
        is_file = disk.dev_type in constants.DTS_FILEBASED
        protocol = {
            "driver": "file" if is_file else "host_device",
            "filename": target,
            "aio": hvp[constants.HV_KVM_DISK_AIO] or constants.HT_KVM_AIO_THREADS,
        }
    discard = hvp[constants.HV_DISK_DISCARD]
    return {
        "driver": "raw",
        "node-name": node_name,
        # A guest started by Ganeti 3.0 may say "default", which block nodes do not know.
        "discard": discard if discard in ("ignore", "unmap") else constants.HT_DISCARD_IGNORE,
        "cache": {"direct": direct, "no-flush": no_flush},
        "file": protocol,
    }


def _node_name(disk: Any) -> str:
    hvinfo = disk.hvinfo or {}
    return str(hvinfo.get("id") or device_id(constants.HOTPLUG_TARGET_DISK, disk))


def _driver(model: str) -> str:
    return "virtio-blk-pci" if model == constants.HT_DISK_PARAVIRTUAL else model


def _blockdev_driver(completion: Completion) -> str:
    model = completion.hvp[constants.HV_DISK_TYPE]
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

    threads: Mapping[str, Any]
    in_json: bool


def _served(completion: Completion, command: Sequence[str]) -> _Served:
    hvp, vcpus = completion.hvp, vcpus_of(command)
    threads = iothreads.disk_properties(hvp, iothreads.count(hvp, completion.facts, vcpus), vcpus)
    on_scsi = hvp[constants.HV_DISK_TYPE] in constants.HT_SCSI_DEVICE_TYPES
    return _Served(threads, on_scsi and iothreads.is_said_in_json(command))


def _blockdev(
    completion: Completion, disk: Any, target: str, boot: bool, served: _Served
) -> list[str]:
    hvp, node = completion.hvp, _node_name(disk)
    writeback, _, _ = GetCacheSettings(hvp[constants.HV_DISK_CACHE], disk.dev_type)
    model = hvp[constants.HV_DISK_TYPE]
    on_ide = model == constants.HT_DISK_IDE
    place = ide.device_words(disk.hvinfo) if on_ide else disk.hvinfo
    cache = None if model in _PASSTHROUGH else ("write-cache", TranslateBoolToOnOff(writeback))
    more = [("drive", node), cache, boot_index(completion.dialect, boot)]
    block = block_node(target, disk, hvp, node)
    if completion.facts.has_auto_read_only:
        # QEMU 4.0 reopens files when that changes, as another user, and a migration then fails.
        block["auto-read-only"] = False
    return [
        *("-device", iothreads.served(place, served.threads, more, in_json=served.in_json)),
        *("-blockdev", DictToQemuStringNotation(block)),
    ]


def _drive(completion: Completion, disk: Any, target: str, boot: bool) -> list[str]:
    hvp, facts = completion.hvp, completion.facts
    model, discard = hvp[constants.HV_DISK_TYPE], hvp[constants.HV_DISK_DISCARD]
    has_device = facts.has_device(_driver(model))
    # QEMU without this device model has a bus by the name instead.
    bus = "virtio" if model == constants.HT_DISK_PARAVIRTUAL else model
    boot_flag = boot and facts.needs_boot_flag and model != constants.HT_DISK_IDE
    cache = aio_cache(hvp[constants.HV_KVM_DISK_AIO], hvp[constants.HV_DISK_CACHE], disk.dev_type)
    node = _node_name(disk)
    parts: list[Part] = [
        ("file", target),
        ("format", "raw"),
        ("if", "none" if has_device else bus),
        ("boot", "on") if boot_flag else None,
        cache.removeprefix(","),
        None if discard in ("", DISCARD_DEFAULT) else ("discard", discard),
        ("id", node) if has_device else None,
        ("auto-read-only", "off") if facts.has_auto_read_only else None,
    ]
    device = properties(device_string(disk.hvinfo), ("drive", node)) if has_device else ""
    return [*(("-device", device) if device else ()), "-drive", properties(*parts)]


def disks(completion: Completion, command: Sequence[str]) -> list[str]:
    """-boot and the disks, in order.

    Raises HypervisorError for a read-only disk or a device model that QEMU does not have.
    """
    dialect = completion.dialect
    if dialect.blockdev:
        _blockdev_driver(completion)
        served = _served(completion, command)
    boots = boots_from(completion.hvp, constants.HT_BO_DISK)
    arguments: list[str] = []
    for index, (disk, link, uri) in enumerate(completion.disks):
        if disk.mode != constants.DISK_RDWR:
            raise errors.HypervisorError(
                f"disk {index} of {completion.instance.name} is read-only; KVM disks cannot be"
            )
        boot = boots and index == 0
        if boot:
            arguments += boot_option(dialect, "c")
        target = drive_uri(disk, link, uri)
        if dialect.blockdev:
            arguments += _blockdev(completion, disk, target, boot, served)
        else:
            arguments += _drive(completion, disk, target, boot)
    return arguments
