"""Which instances run on this node, and what is known of them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from typing import Any

from ganeti.hypervisor import hv_base

from . import fleet, instance_files, instance_process, run_state, settings
from .instance_files import InstanceFiles
from .instance_process import ProcessInfo

#: (name, process id, MiB of memory, vCPUs, hv_base.HvInstanceState, CPU time), as Ganeti wants it
InstanceInfo = tuple[str, int, int, int, int, int]

_STATUS, _CPUS, _BALLOON = "query-status", "query-cpus-fast", "query-balloon"

_MIB = 1 << 20
_RUNTIME_SUFFIX = ".runtime"


def names_with_runtime(conf_directory: str) -> list[str]:
    """Name the instances that have a runtime file; they may or may not run."""
    return sorted(
        entry.removesuffix(_RUNTIME_SUFFIX)
        for entry in instance_files.names_in(conf_directory)
        if entry.endswith(_RUNTIME_SUFFIX)
    )


def instance_info(files: InstanceFiles) -> InstanceInfo | None:
    """Tell what is known of one instance.

    Returns:
        None for an instance that does not run, unless its user shut it down.
    """
    infos = _infos([files], settings.QMP.seconds())
    return infos[0] if infos else None


def all_infos(instances: Iterable[InstanceFiles]) -> list[InstanceInfo]:
    """Tell what is known of the instances that run or were shut down by their users.

    A QEMU that waits for a guest, as it says itself, is not that guest: that still runs on the node
    it comes from, where Ganeti expects it.

    All are asked at once. What QEMU does not answer within the deadline of a listing is taken from
    its command line, so that a guest that hangs is still listed.
    """
    return _infos(instances, settings.LISTING.seconds(), waiting=False)


def _infos(
    instances: Iterable[InstanceFiles], deadline: float | None, *, waiting: bool = True
) -> list[InstanceInfo]:
    guests = list(instances)
    processes: list[ProcessInfo | None] = []

    # While QEMU answers: on a node with 100 guests this takes a tenth of the time that they take.
    def find_pids() -> list[int | None]:
        processes.extend(map(_find, guests))
        return [process and process.pid for process in processes]

    sockets = [files.qmp for files in guests]
    answers = fleet.ask(sockets, find_pids, (_STATUS, _CPUS, _BALLOON), deadline)
    infos = (
        _tell(process, answer) if process else _shut_down(files)
        for files, process, answer in zip(guests, processes, answers, strict=True)
        if waiting or not _waits(answer)
    )
    return [info for info in infos if info]


def _waits(answer: fleet.Answer) -> bool:
    status = answer.values.get(_STATUS)
    return isinstance(status, dict) and status.get("status") == "inmigrate"


def _find(files: InstanceFiles) -> ProcessInfo | None:
    """Find the instance's process, if it is that: a pid file may be stale."""
    try:
        pid = int(instance_process.read_small(files.pidfile))
    except (OSError, ValueError):
        return None
    process = instance_process.info_or_none(pid)
    return process if process and process.name == files.name else None


def _shut_down(files: InstanceFiles) -> InstanceInfo | None:
    if os.path.exists(files.shutdown):
        return (files.name, -1, 0, 0, hv_base.HvInstanceState.SHUTDOWN, 0)
    return None


def _tell(process: ProcessInfo, answer: fleet.Answer) -> InstanceInfo:
    """Join what QEMU and its command line tell; each of QEMU's answers stands for itself.

    A guest that does not run is logged: Ganeti has no state for it, and is told that it runs.
    """
    pid, name, memory, vcpus = process
    if answer.verdict is not fleet.Verdict.ANSWERED:
        logging.warning("QEMU of %s does not tell its memory and CPUs: %s", name, answer.error)
    try:
        memory, vcpus = _read(name, answer.values, memory, vcpus)
    except (AttributeError, KeyError, TypeError) as err:
        # one odd guest must not hide all the others
        logging.warning("QEMU of %s tells what cannot be understood: %r", name, err)
    return (name, pid, memory, vcpus, hv_base.HvInstanceState.RUNNING, 0)


def _read(name: str, values: dict[str, Any], memory: int, vcpus: int) -> tuple[int, int]:
    if _STATUS in values:
        run_state.log(name, run_state.read(values[_STATUS]))
    if _CPUS in values:
        vcpus = len(values[_CPUS])
    # a guest without a balloon device refuses this one
    if _BALLOON in values:
        memory = values[_BALLOON]["actual"] // _MIB
    return memory, vcpus
