"""CPU pinning: which of the node's CPUs the guest's may run on (parameter cpu_mask)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from ganeti import constants, errors, utils

from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.qemu.verbs import control
from ganeti_hv_kvm.qmp_values import forms

#: One list of CPU numbers for the whole guest, or one for each of its vCPUs.
CpuMask = list[list[int]]

_ONLINE = "/sys/devices/system/cpu/online"

_CPUS = "query-cpus-fast"
_MOST = (1 << 31) - 1
_MOST_NAMED = 8


def online_cpus() -> frozenset[int]:
    """Give the numbers of the CPUs that this node has online."""
    try:
        with open(_ONLINE, encoding="utf-8") as online:
            return frozenset(utils.ParseCpuMask(online.read().strip()))
    except OSError:
        return frozenset(range(os.cpu_count() or 1))


def parse(cpu_mask: str | None, vcpus: int) -> CpuMask | None:
    """Read a cpu_mask such as "0-2,4:all:1,3"; None means that nothing is pinned.

    It is read before QEMU starts: a mask that this node cannot fulfil used to leave a guest in
    "prelaunch" that was reported as running.

    Args:
        cpu_mask: the parameter's value.
        vcpus: how many vCPUs the guest has.

    Raises:
        errors.HypervisorError: a CPU that this node does not have, a mask without any, or as many
            masks as the guest does not have vCPUs.
    """
    if not cpu_mask or cpu_mask == constants.CPU_PINNING_ALL:
        return None
    try:
        masks: CpuMask = utils.ParseMultiCpuMask(cpu_mask)
    except errors.ParseError as err:
        raise errors.HypervisorError(f"cpu_mask '{cpu_mask}' cannot be read: {err}") from err
    if len(masks) > 1 and len(masks) != vcpus:
        raise errors.HypervisorError(
            f"cpu_mask '{cpu_mask}' has {len(masks)} parts, but the instance has {vcpus} vCPUs"
        )
    if not all(masks):
        raise errors.HypervisorError(
            f"cpu_mask '{cpu_mask}' has a part that names no CPU: a vCPU must run on one at least"
        )
    online = online_cpus()
    absent = sorted({cpu for mask in masks if not _unpinned(mask) for cpu in mask} - online)
    if absent:
        raise errors.HypervisorError(
            f"cpu_mask '{cpu_mask}' names CPU {', '.join(map(str, absent))},"
            f" which this node does not have online (it has {', '.join(map(str, sorted(online)))})"
        )
    return masks


def apply(masks: CpuMask, pid: int, vcpu_threads: Mapping[int, int]) -> None:
    """Pin a running QEMU.

    One mask goes to every thread of the process, so that vCPU threads that exist already are
    pinned too (pinning the process alone reaches its first thread only); threads made later
    inherit it.

    Args:
        masks: as made by ``parse``.
        pid: the QEMU process.
        vcpu_threads: thread id by vCPU number, as in QMP's query-cpus-fast.

    Raises:
        errors.HypervisorError: a thread could not be pinned, or QEMU has other vCPUs than masks, or
            names threads of others.
    """
    if len(masks) == 1:
        if not _unpinned(masks[0]):
            _pin_all_threads(pid, masks[0])
        return
    if len(vcpu_threads) != len(masks):
        raise errors.HypervisorError(
            f"QEMU reports {len(vcpu_threads)} vCPUs, but cpu_mask has {len(masks)} parts"
        )
    _check_are_its_own(pid, vcpu_threads.values())
    for (_, thread), mask in zip(sorted(vcpu_threads.items()), masks, strict=True):
        pin(thread, online_cpus() if _unpinned(mask) else mask)


def _threads_of(pid: int) -> set[int]:
    try:
        return {int(entry) for entry in os.listdir(f"/proc/{pid}/task")}
    except OSError as err:
        raise errors.HypervisorError(f"Cannot pin process {pid}: {err.strerror}") from err


def _check_are_its_own(pid: int, told: Iterable[int]) -> None:
    """Make sure that the threads that a QEMU names are not those of another process.

    It may name any: by nonsense, because it was broken into, or as it counts in a namespace of its
    own; and we may pin all that there are.
    """
    if foreign := sorted(set(told) - _threads_of(pid)):
        raise errors.HypervisorError(
            f"QEMU (process {pid}) names thread {', '.join(map(str, foreign[:_MOST_NAMED]))} for"
            " its vCPUs, which is none of its own: nothing was pinned"
        )


def _unpinned(mask: list[int]) -> bool:
    return bool(mask == constants.CPU_PINNING_OFF)


def _pin_all_threads(pid: int, cpus: Iterable[int]) -> None:
    done: set[int] = set()
    # a thread may be born while we walk the list: go round until nobody is new
    while True:
        threads = _threads_of(pid)
        if threads <= done:
            return
        for thread in threads - done:
            pin(thread, cpus, may_be_gone=thread != pid)
        done |= threads


def vcpu_threads(guest: Guest) -> dict[int, int]:
    """Ask QEMU for the thread id of each vCPU, by the vCPU's number.

    Raises:
        errors.HypervisorError: QEMU does not answer.
    """
    with guest.monitor() as qmp:
        cpus = control.query_cpus_fast(qmp)
    return {
        forms.a_number(_CPUS, cpu.get("cpu-index"), _MOST): forms.a_number(
            _CPUS, cpu.get("thread-id"), _MOST
        )
        for cpu in cpus
    }


def pin(thread: int, cpus: Iterable[int], *, may_be_gone: bool = False) -> None:
    """Let one thread run on these CPUs alone.

    Raises:
        errors.HypervisorError: it cannot; a thread that has gone is fine with ``may_be_gone``.
    """
    wanted = sorted(cpus)
    try:
        os.sched_setaffinity(thread, wanted)
    except ProcessLookupError:
        if not may_be_gone:
            raise errors.HypervisorError(f"Cannot pin thread {thread}: it is gone") from None
    except (OSError, ValueError, OverflowError) as err:
        raise errors.HypervisorError(
            f"Cannot pin thread {thread} to CPU {','.join(map(str, wanted))}: {err}"
        ) from err
