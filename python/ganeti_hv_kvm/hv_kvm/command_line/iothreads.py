"""Threads of QEMU that serve the guest's disks beside its main loop.

Upstream's development version has a parameter for them, virtio_disk_iothreads. A guest notices
nothing of it as long as a disk has as many queues as the guest has vCPUs, which is QEMU's own
choice for machine types since 5.2: so a guest may migrate between nodes with and without threads.

On other Ganetis an instance's tag asks for them. There nothing of them is stored, and no number of
queues is said: a node with Ganeti's own module starts the guest without threads.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from ganeti import constants

from ganeti_hv_kvm.hv_kvm.devices.description import Device
from ganeti_hv_kvm.hv_kvm.ganeti.guest_options import Options
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import number, number_or_zero
from ganeti_hv_kvm.hv_kvm.qemu.facts import QemuFacts

from .option import vcpus_of
from .request import Completion, StartRequest

if TYPE_CHECKING:
    from ganeti_hv_kvm.qmp_values.replies import IoThread

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


def count(hvp: Mapping[str, object], facts: QemuFacts, vcpus: int) -> int:
    """How many threads the disks of a guest get from this QEMU.

    Args:
        hvp: the parameters that the guest was first started with. One that was started before
            Ganeti had the parameter has none.
        vcpus: of the guest as it was started.
    """
    return count_by(hvp, facts.can_map_queues, vcpus)


def count_by(hvp: Mapping[str, object], can_map: Callable[[str], bool], vcpus: int) -> int:
    """The same; ``can_map`` tells whether several threads can serve a device of this driver."""
    driver = _driver(hvp)
    wanted = number_or_zero(hvp, PARAMETER) if PARAMETER else 0
    if wanted <= 0 or driver is None or hvp[constants.HV_KVM_DISK_AIO] not in _BY_THE_KERNEL:
        return 0
    if wanted == 1 or not can_map(driver):
        return 1
    return max(1, min(wanted, vcpus))


def why_none(hvp: Mapping[str, object]) -> str | None:
    """Say why threads could not serve a guest's disks; None if they could."""
    if _driver(hvp) is None:
        return "its disks are neither paravirtual nor scsi-hd on virtio-scsi-pci (disk_type)"
    if (aio := hvp[constants.HV_KVM_DISK_AIO]) not in _BY_THE_KERNEL:
        return f"disk_aio is {aio}, which has threads of its own; native is for these"
    return None


def as_parameter(options: Options) -> dict[str, int]:
    """Give what the tag is as a parameter, where Ganeti has that."""
    wanted = options.number("iothreads")
    return {PARAMETER: wanted} if PARAMETER and wanted is not None else {}


def count_by_tag(options: Options, hvp: Mapping[str, object], facts: QemuFacts, vcpus: int) -> int:
    """How many threads the disks of a guest get by its tag, where Ganeti has no parameter."""
    wanted = 0 if PARAMETER else options.number("iothreads") or 0
    if not wanted or why_none(hvp):
        return 0
    # on a controller that is said in JSON its disks would have to be, too
    several = _driver(hvp) == BLK_DRIVER and wanted > 1 and facts.can_map_queues(BLK_DRIVER)
    return max(1, min(wanted, vcpus)) if several else 1


def tag_properties(hvp: Mapping[str, object], threads: int) -> dict[str, object]:
    """What so many threads by tag add to a virtio-blk disk."""
    return _served_by(threads) if threads and _driver(hvp) == BLK_DRIVER else {}


def with_controller_served(command: Sequence[str], completion: Completion) -> list[str]:
    """A command whose SCSI controller is served by a thread, where a tag asks for that."""
    words = list(command)
    threads = count_by_tag(completion.options, completion.hvp, completion.facts, 1)
    if not threads or _driver(completion.hvp) != SCSI_DRIVER:
        return words
    head = Device({"driver": SCSI_DRIVER, "id": "scsi"}).as_argument()
    for index, (switch, value) in enumerate(pairwise(command)):
        if switch == "-device" and f"{value},".startswith(f"{head},"):
            words[index + 1] = f"{value},{_THREAD}={_names(1)[0]}"
    return words


def _driver(hvp: Mapping[str, object]) -> str | None:
    """The device model that the threads serve, if the guest's disks have one."""
    model = hvp[constants.HV_DISK_TYPE]
    if model == constants.HT_DISK_PARAVIRTUAL:
        return BLK_DRIVER
    controller = hvp[constants.HV_KVM_SCSI_CONTROLLER_TYPE]
    return SCSI_DRIVER if (model, controller) == ("scsi-hd", SCSI_DRIVER) else None


def _names(threads: int) -> list[str]:
    return [f"{_THREAD}{number}" for number in range(threads)]


def _served_by(threads: int) -> dict[str, object]:
    """The property of a device that says which of so many threads serve it."""
    if threads > 1:
        return {_MAPPING: [{_THREAD: name} for name in _names(threads)]}
    return {_THREAD: f"{_THREAD}0"}


def disk_properties(hvp: Mapping[str, object], threads: int, vcpus: int) -> dict[str, object]:
    """What so many threads add to a virtio-blk disk: -device's properties, by their names."""
    if not threads or _driver(hvp) != BLK_DRIVER:
        return {}
    return {"num-queues": vcpus, **_served_by(threads)}


def controller_is_in_json(request: StartRequest) -> bool:
    """Whether the SCSI controller of a new command is said in JSON."""
    return _MAPPING in controller_properties(request)


def count_in_qemu(answer: Iterable[IoThread]) -> int:
    """How many threads a running QEMU has for disks, by its answer to query-iothreads."""
    ids = {str(thread.get("id")) for thread in answer}
    return next(number for number in itertools.count() if f"{_THREAD}{number}" not in ids)


def controller_properties(request: StartRequest) -> dict[str, object]:
    """What the threads add to a virtio-scsi controller."""
    vcpus = number(request.instance.beparams, constants.BE_VCPUS)
    threads = count(request.hvp, request.facts, vcpus) if request.dialect.blockdev else 0
    if not threads or _driver(request.hvp) != SCSI_DRIVER:
        return {}
    return {"num_queues": vcpus, **_served_by(threads)}


def objects(completion: Completion, command: Sequence[str]) -> list[str]:
    """-object for each thread; a controller in the stored command may name some already."""
    hvp, facts, vcpus = completion.hvp, completion.facts, vcpus_of(command)
    by_tag = count_by_tag(completion.options, hvp, facts, vcpus)
    wanted = set(_names(count(hvp, facts, vcpus) or by_tag))
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


def without_threads(hvinfo: Mapping[str, object] | None) -> dict[str, object]:
    """A disk's ``hvinfo`` without what serves it there.

    One that was added to the running guest has threads in it: those of that node. Its number of
    queues the guest has seen; that stays.
    """
    return {key: value for key, value in (hvinfo or {}).items() if key not in PER_EXECUTION}
