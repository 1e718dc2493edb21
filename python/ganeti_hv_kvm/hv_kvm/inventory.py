"""Which instances run on this node, and what is known of them."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ganeti import errors
from ganeti.hypervisor import hv_base

from ganeti_hv_kvm.errors import ProcessUnknownError

from . import fleet, instance_files, instance_process, qemu_values, settings
from .instance_files import InstanceFiles
from .instance_process import Finding, ProcessInfo

#: (name, process id, MiB of memory, vCPUs, hv_base.HvInstanceState, CPU time), as Ganeti wants it
InstanceInfo = tuple[str, int, int, int, int, int]

_COMMANDS = (qemu_values.STATUS, qemu_values.CPUS, qemu_values.BALLOON)
_RUNTIME_SUFFIX = ".runtime"
_QMP_SUFFIX = ".qmp"

#: Seconds for a guest that has just answered.
_SIZE_DEADLINE = 1.0

#: Descriptors with which processes can be looked at while all others are sockets to their monitors.
_PUT_ASIDE = 4


def names_with_runtime(conf_directory: str) -> list[str]:
    """Name the instances that have a runtime file; they may or may not run.

    Raises:
        errors.HypervisorError: the directory cannot be read.
    """
    return _names_in(conf_directory, _RUNTIME_SUFFIX)


def names_with_process(pid_directory: str, ctrl_directory: str) -> list[str]:
    """Name the instances of which QEMU may run: a pid file or a monitor's socket is there.

    Raises:
        errors.HypervisorError: a directory cannot be read.
    """
    return sorted({*_names_in(pid_directory), *_names_in(ctrl_directory, _QMP_SUFFIX)})


def running(names: Iterable[str], pid_alive: Callable[[str], tuple[str, int, bool]]) -> list[str]:
    """Name those whose QEMU runs, or of which that cannot be told; doubt is logged."""
    found = []
    for name in names:
        try:
            runs = pid_alive(name)[2]
        except errors.HypervisorError as err:
            logging.warning("%s. It stays in the list", err)
            runs = True
        if runs:
            found.append(name)
    return found


def _names_in(directory: str, suffix: str = "") -> list[str]:
    try:
        entries = instance_files.names_in(directory)
    except OSError as err:
        raise errors.HypervisorError(
            f"It cannot be told which instances run here, as {directory} cannot be read:"
            f" {err.strerror}. Nothing was done; mend that ('ls {directory}'), and try again"
        ) from err
    names = (entry.removesuffix(suffix) for entry in entries if entry.endswith(suffix))
    return sorted(name for name in names if _is_a_name(name))


def _is_a_name(text: str) -> bool:
    """Tell whether Ganeti could have called an instance so: what else lies there is not ours."""
    return text not in ("", ".", "..") and text.isascii() and text.isprintable()


def instance_info(files: InstanceFiles) -> InstanceInfo | None:
    """Tell what is known of one instance.

    Returns:
        None for an instance that does not run, unless its user shut it down.

    Raises:
        errors.HypervisorError: it cannot be told whether it runs.
    """
    infos = _infos([files], deadline=None, doubt_raises=True)
    return infos[0] if infos else None


def infos_through(get_info: Callable[[str], Any], conf_directory: str) -> list[Any]:
    """Tell of each instance with a runtime file what somebody else's function tells of it.

    As upstream's does, this goes on with the others where one raises ``OSError``.
    """
    found = []
    for name in sorted({entry.rpartition(".")[0] for entry in os.listdir(conf_directory)} - {""}):
        try:
            info = get_info(name)
        except OSError as err:
            logging.warning("Instance %s is not listed: %s raised %s", name, get_info, err)
            continue
        if info:
            found.append(info)
    return found


def all_infos(instances: Iterable[InstanceFiles]) -> list[InstanceInfo]:
    """Tell what is known of the instances that run or were shut down by their users.

    A QEMU that waits for a guest, as it says itself, is not that guest: that still runs on the node
    it comes from, where Ganeti expects it.

    All are asked at once. What QEMU does not answer within the deadline of a listing is taken from
    its command line, so that a guest that hangs is still listed. So is one of which it cannot be
    told whether it runs.
    """
    return _infos(instances, settings.LISTING.seconds(), waiting=False)


def _infos(
    instances: Iterable[InstanceFiles],
    deadline: float | None,
    *,
    waiting: bool = True,
    doubt_raises: bool = False,
) -> list[InstanceInfo]:
    guests = list(instances)
    findings, answers = _ask(guests, deadline)
    infos: list[InstanceInfo | None] = []
    for files, finding, answer in zip(guests, findings, answers, strict=True):
        if not waiting and _waits(answer):
            continue
        if isinstance(finding, ProcessUnknownError):
            if doubt_raises and answer.verdict is not fleet.Verdict.ANSWERED:
                raise finding
            logging.warning("%s. It stays in the list", finding)
            # whoever answers on its monitor is there
            infos.append(_tell(files, ProcessInfo(answer.pid or 0, None, None), answer))
        else:
            infos.append(_tell(files, finding, answer) if finding else _shut_down(files))
    return [info for info in infos if info]


def _waits(answer: fleet.Answer) -> bool:
    status = answer.values.get(qemu_values.STATUS)
    return isinstance(status, dict) and status.get("status") == "inmigrate"


def _ask(
    guests: Sequence[InstanceFiles], deadline: float | None
) -> tuple[list[Finding], list[fleet.Answer]]:
    """Find the processes of all, and ask them.

    Processes are looked at while QEMU works: on a node with 100 guests that takes a tenth of the
    time that their answers take. Where descriptors are short, it is done before.
    """
    sockets = [files.qmp for files in guests]
    findings: list[Finding] = []
    with contextlib.ExitStack() as reserve:

        def find_pids() -> list[int | None]:
            reserve.close()
            findings.extend(instance_process.find_all(guests))
            return list(map(_pid, findings))

        # an OSError: they are short
        with contextlib.suppress(OSError, errors.HypervisorError):
            for _ in range(_PUT_ASIDE):
                reserve.callback(os.close, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
            return findings, fleet.ask(sockets, find_pids, _COMMANDS, deadline)
    findings = instance_process.find_all(guests)
    try:
        return findings, fleet.ask(sockets, lambda: list(map(_pid, findings)), _COMMANDS, deadline)
    except errors.HypervisorError as err:
        # not one for a socket: what their processes tell must do
        silent = fleet.Answer(fleet.Verdict.SILENT, {}, {}, err)
        return findings, [silent for _ in guests]


def _pid(finding: Finding) -> int | None:
    """Give the process id as ``fleet.ask`` wants it: 0 where nobody knows, None where none is."""
    return 0 if isinstance(finding, ProcessUnknownError) else finding and finding.pid


def _shut_down(files: InstanceFiles) -> InstanceInfo | None:
    if os.path.exists(files.shutdown):
        return (files.name, -1, 0, 0, hv_base.HvInstanceState.SHUTDOWN, 0)
    return None


def _tell(files: InstanceFiles, process: ProcessInfo, answer: fleet.Answer) -> InstanceInfo:
    """Join what QEMU and its command line tell.

    A guest that does not run is logged: Ganeti has no state for it, and is told that it runs.
    """
    name = files.name
    if answer.verdict is not fleet.Verdict.ANSWERED:
        logging.warning("QEMU of %s does not tell its memory and CPUs: %s", name, answer.error)
    try:
        told = qemu_values.read(name, answer.values)
    except qemu_values.NonsenseError as err:
        # one odd guest must not hide all the others
        logging.warning("QEMU of %s tells what cannot be (%s): broken", name, err)
        told = qemu_values.Told(None, None)
    memory = process.memory if told.memory is None else told.memory
    if memory is None and answer.verdict is fleet.Verdict.ANSWERED:
        memory = _ask_for_size(files)
    vcpus = process.vcpus if told.vcpus is None else told.vcpus
    return (name, process.pid, memory or 0, vcpus or 0, hv_base.HvInstanceState.RUNNING, 0)


def _ask_for_size(files: InstanceFiles) -> int | None:
    """Ask a guest without a balloon for its memory, where its command line does not say it."""
    try:
        answers = fleet.ask([files.qmp], lambda: [0], [qemu_values.SIZE], _SIZE_DEADLINE)
        return qemu_values.read_size(answers[0].values)
    except (errors.HypervisorError, qemu_values.NonsenseError) as err:
        logging.warning("QEMU of %s does not tell its memory: %s", files.name, err)
        return None
