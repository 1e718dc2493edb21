"""-smp, room for vCPUs that are added while the guest runs, and those that were.

The words of a guest that was given more say what it was started with (-smp), and then each vCPU
that was added, as a -device. QEMU wants the target of a migration to be started so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.devices.description import Device
from ganeti_hv_kvm.hv_kvm.ganeti import generation
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import number, number_or_zero, text

from .named_places import devices
from .option import properties
from .request import StartRequest

#: How many vCPUs a guest may come to have, as upstream's design has it. It costs the node nothing,
#: as QEMU makes threads for those alone that are there.
MOST = 128
#: MiB of the guest's memory for each. Linux sets 0.3 MiB aside for a vCPU that may come (6.1): one
#: with 128 MiB was seen not to boot where 128 vCPUs were possible.
_MEMORY_FOR_ONE = 8

# From this version on QEMU refuses a topology whose product is not the number of vCPUs.
_STRICT_SMP = (6, 2, 0)
_LEVELS = 3
# Of a pc of each version; a q35 can have more, and says how many.
_MOST_OF_A_PC = 255

_NUMBER = re.compile(r"(?:^|,)(?:cpus=)?(\d+)(?:,|$)")
_MAXIMUM = re.compile(r"\bmaxcpus=(\d+)")
#: The ids of vCPUs that were added; a guest's kvm_extra may have others.
ADDED = re.compile(r"cpu-\d+(?:-\d+)*")


class Topology(NamedTuple):
    """How vCPUs sit together; 0 is for QEMU to choose."""

    cores: int
    threads: int
    sockets: int

    @property
    def said(self) -> list[tuple[str, int]]:
        """The levels that are not QEMU's to choose, in Ganeti's order."""
        return [(level, count) for level, count in self._asdict().items() if count]

    def without_sockets(self, vcpus: int) -> Topology:
        """The same for so many vCPUs at first, where more sockets may follow."""
        cores, threads, sockets = self
        if sockets and not cores:
            threads = threads or 1
            cores = -(-vcpus // (sockets * threads))
        elif sockets and not threads:
            threads = max(1, vcpus // (sockets * cores))
        return Topology(cores, threads, 0)


def processors(request: StartRequest) -> list[str]:
    """-smp: vCPUs and, where configured, their topology; where they can become more, how many.

    Raises HypervisorError if number and topology do not go together.
    """
    vcpus = number(request.instance.beparams, constants.BE_VCPUS)
    names = (constants.HV_CPU_CORES, constants.HV_CPU_THREADS, constants.HV_CPU_SOCKETS)
    topology = Topology(*(number_or_zero(request.hvp, name) for name in names))
    if _may_grow(request):
        open_end = topology.without_sockets(vcpus)
        maximum = _maximum(open_end, number(request.instance.beparams, constants.BE_MAXMEM))
        if vcpus <= maximum and (maximum <= _MOST_OF_A_PC or request.is_q35):
            return ["-smp", properties(str(vcpus), *open_end.said, ("maxcpus", maximum))]
    _check_topology(request, vcpus, topology)
    return ["-smp", properties(str(vcpus), *topology.said)]


def _may_grow(request: StartRequest) -> bool:
    """Whether Ganeti may give this guest more vCPUs while it runs.

    A guest hears of one by ACPI alone. Where vCPUs are pinned, nobody says where one more belongs.
    """
    pinned = request.hvp[constants.HV_CPU_MASK] not in (None, "", constants.CPU_PINNING_ALL)
    own_words = "-smp" in text(request.hvp, constants.HV_KVM_EXTRA)
    wanted = generation.VCPU_TARGET is not None and request.hvp[constants.HV_ACPI]
    return bool(wanted) and not pinned and not own_words


def _maximum(topology: Topology, memory: int) -> int:
    """How many vCPUs a guest with so many MiB may come to have: a multiple of a socket's."""
    socket = (topology.cores or 1) * (topology.threads or 1)
    most = min(MOST, memory // _MEMORY_FOR_ONE)
    return -(-most // socket) * socket


def _check_topology(request: StartRequest, vcpus: int, topology: Topology) -> None:
    """Raise HypervisorError where QEMU would call the topology invalid (from 6.2 on)."""
    if (
        "-smp" in text(request.hvp, constants.HV_KVM_EXTRA)
        or request.facts.version[1:] < _STRICT_SMP
    ):
        return
    product = 1
    for _, count in topology.said:
        product *= count
    all_levels = len(topology.said) == _LEVELS
    if vcpus % product or (all_levels and product != vcpus):
        said = ", ".join(f"{level}={count}" for level, count in topology.said)
        raise errors.HypervisorError(
            f"the instance has {vcpus} vCPUs, which {said} cannot be: their product must be"
            f" {'that' if all_levels else 'a divisor of that'}"
        )
    if vcpus > _MOST_OF_A_PC and not request.is_q35:
        raise errors.HypervisorError(
            f"the instance has {vcpus} vCPUs; machine {request.machine} can have {_MOST_OF_A_PC}"
        )


def maximum_of(command: Sequence[object]) -> int | None:
    """How many vCPUs a guest with this stored command can have; None if no more than it has."""
    for switch, value in pairwise(command):
        if switch == "-smp" and (found := _MAXIMUM.search(str(value))):
            return int(found[1])
    return None


def added(command: Sequence[object]) -> list[Mapping[str, object]]:
    """The vCPUs that a stored command adds to those of -smp, as -device's properties."""
    return [one for one in devices(command) if ADDED.fullmatch(str(one.get("id", "")))]


def count(command: Sequence[object]) -> int:
    """How many vCPUs QEMU gives a guest with this stored command.

    Of several -smp, such as one in kvm_extra, it takes the last number.
    """
    smp = (_NUMBER.search(str(value)) for word, value in pairwise(command) if word == "-smp")
    said = [int(found[1]) for found in smp if found]
    return (said[-1] if said else 1) + len(added(command))


def keep_added(command: list[str], wanted: Iterable[Mapping[str, object]]) -> bool:
    """Let a stored command add these vCPUs and no others; tell whether that changed it.

    Args:
        wanted: "id", "driver" and the place of each, as QEMU's query-hotpluggable-cpus has it.
    """
    by_id = {str(one["id"]): Device(one).as_argument() for one in wanted}
    there = {str(one["id"]) for one in added(command)}
    for gone in there - set(by_id):
        _drop(command, gone)
    for new, words in by_id.items():
        if new not in there:
            command += ["-device", words]
    return there != set(by_id)


def _drop(command: list[str], devid: str) -> None:
    place = next(
        number
        for number, words in enumerate(pairwise(command))
        if words[0] == "-device" and any(one.get("id") == devid for one in devices(words))
    )
    del command[place : place + 2]
