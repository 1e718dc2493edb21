"""virtio_disk_iothreads: threads of QEMU that serve the guest's disks beside its main loop.

Upstream's development version has the parameter. A guest notices nothing of it as long as a disk
has as many queues as the guest has vCPUs, which is QEMU's own choice for machine types since 5.2:
so a guest may migrate between nodes with and without threads.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from ganeti import constants

from ganeti_hv_kvm.hv_kvm.qemu_binary import QemuFacts

from .option import properties, vcpus_of
from .request import Completion, StartRequest

#: The parameter's name, None where this Ganeti does not have it.
PARAMETER: str | None = getattr(constants, "HV_VIRTIO_DISK_IOTHREADS", None)

BLK_DRIVER = "virtio-blk-pci"
SCSI_DRIVER = "virtio-scsi-pci"

_THREAD, _MAPPING = "iothread", "iothread-vq-mapping"
#: Properties of a disk that say which threads serve it: they are chosen anew at each execution.
PER_EXECUTION = frozenset({_THREAD, _MAPPING})

# With aio=threads QEMU has threads of its own for the work, and its main loop is no bottleneck.
_BY_THE_KERNEL = frozenset({constants.HT_KVM_AIO_NATIVE, "io_uring"})  # 3.0 has no io_uring
_NAME = re.compile(r"\biothread\d+\b")


def count(hvp: Mapping[str, Any], facts: QemuFacts, vcpus: int) -> int:
    """How many threads the disks of a guest get from this QEMU.

    Args:
        hvp: the parameters that the guest was first started with. One that was started before
            Ganeti had the parameter has none.
        vcpus: of the guest as it was started.
    """
    driver = _driver(hvp)
    wanted = int(hvp.get(PARAMETER, 0)) if PARAMETER else 0
    if wanted <= 0 or driver is None or hvp[constants.HV_KVM_DISK_AIO] not in _BY_THE_KERNEL:
        return 0
    if wanted == 1 or not facts.can_map_queues(driver):
        return 1
    return max(1, min(wanted, vcpus))


def _driver(hvp: Mapping[str, Any]) -> str | None:
    """The device model that the threads serve, if the guest's disks have one."""
    model = hvp[constants.HV_DISK_TYPE]
    if model == constants.HT_DISK_PARAVIRTUAL:
        return BLK_DRIVER
    controller = hvp[constants.HV_KVM_SCSI_CONTROLLER_TYPE]
    return SCSI_DRIVER if (model, controller) == ("scsi-hd", SCSI_DRIVER) else None


def _names(threads: int) -> list[str]:
    return [f"{_THREAD}{number}" for number in range(threads)]


def _served_by(threads: int) -> dict[str, Any]:
    """The property of a device that says which of so many threads serve it."""
    if threads > 1:
        return {_MAPPING: [{_THREAD: name} for name in _names(threads)]}
    return {_THREAD: f"{_THREAD}0"}


def disk_properties(hvp: Mapping[str, Any], threads: int, vcpus: int) -> dict[str, Any]:
    """What so many threads add to a virtio-blk disk: -device's properties, by their names."""
    if not threads or _driver(hvp) != BLK_DRIVER:
        return {}
    return {"num-queues": vcpus, **_served_by(threads)}


def controller_is_in_json(request: StartRequest) -> bool:
    """Whether the SCSI controller of a new command is said in JSON."""
    return _MAPPING in controller_properties(request)


def count_in_qemu(answer: Any) -> int:
    """How many threads a running QEMU has for disks, by its answer to query-iothreads."""
    ids = {str(thread.get("id")) for thread in answer}
    return next(number for number in itertools.count() if f"{_THREAD}{number}" not in ids)


def controller_properties(request: StartRequest) -> dict[str, Any]:
    """What the threads add to a virtio-scsi controller."""
    vcpus = int(request.instance.beparams[constants.BE_VCPUS])
    threads = count(request.hvp, request.facts, vcpus) if request.dialect.blockdev else 0
    if not threads or _driver(request.hvp) != SCSI_DRIVER:
        return {}
    return {"num_queues": vcpus, **_served_by(threads)}


def objects(completion: Completion, command: Sequence[str]) -> list[str]:
    """-object for each thread; a controller in the stored command may name some already."""
    wanted = set(_names(count(completion.hvp, completion.facts, vcpus_of(command))))
    there: set[str] = set()
    for switch, value in pairwise(command):
        if switch == "-object":  # an administrator's own, of kvm_extra
            there |= set(_NAME.findall(value))
        elif switch == "-device" and value.startswith(("{", SCSI_DRIVER)):
            wanted |= set(_NAME.findall(value))
    missing = sorted(wanted - there, key=lambda name: int(name.removeprefix(_THREAD)))
    return [word for name in missing for word in ("-object", f"{_THREAD},id={name}")]


def is_said_in_json(command: Sequence[str]) -> bool:
    """Whether the SCSI controller of a command is, so that what sits on it must be too.

    QEMU makes devices that are said in JSON after all others.
    """
    words = (value for switch, value in pairwise(command) if switch == "-device")
    return any(
        value.startswith("{") and json.loads(value)["driver"] == SCSI_DRIVER for value in words
    )


def served(
    hvinfo: Mapping[str, Any],
    threads: Mapping[str, Any],
    more: Sequence[tuple[str, object] | None],
    *,
    in_json: bool,
) -> str:
    """-device's argument for a disk: its place, then ``more``, then what serves it.

    A disk that was added to the running guest has threads in its ``hvinfo``: those of that node.
    Its number of queues the guest has seen; that stays.
    """
    own = {key: value for key, value in hvinfo.items() if key not in PER_EXECUTION}
    added = [(key, value) for key, value in threads.items() if key not in own]
    words = dict([*own.items(), *filter(None, more), *added])
    return argument(words, in_json=in_json)


def argument(words: Mapping[str, Any], *, in_json: bool = False) -> str:
    """-device's argument: in JSON where asked for, or where only that can say it: a list."""
    if in_json or any(isinstance(value, list | dict) for value in words.values()):
        return json.dumps(words)
    rest = [(key, value) for key, value in words.items() if key != "driver"]
    return properties(str(words["driver"]), *rest)
