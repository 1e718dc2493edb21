"""Which instances run on this node, and what is known of them."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Sequence

from ganeti import errors
from ganeti.hypervisor import hv_base

from ganeti_hv_kvm.errors import ProcessUnknownError
from ganeti_hv_kvm.hv_kvm.ganeti import generation, settings
from ganeti_hv_kvm.hv_kvm.guest import files as instance_files
from ganeti_hv_kvm.hv_kvm.guest import process as instance_process
from ganeti_hv_kvm.hv_kvm.guest.files import InstanceFiles
from ganeti_hv_kvm.hv_kvm.guest.process import Finding, ProcessInfo
from ganeti_hv_kvm.hv_kvm.qemu import fleet
from ganeti_hv_kvm.qmp_values import numbers, run_state

#: (name, process id, MiB of memory, vCPUs, hv_base.HvInstanceState, CPU time), as Ganeti wants it
InstanceInfo = tuple[str, int, int, int, int, int]

# asked where Ganeti can give a guest memory while it runs
_ADDED = (numbers.ADDED,) if generation.MEMORY_METHOD else ()
_COMMANDS = (numbers.STATUS, numbers.CPUS, numbers.BALLOON, *_ADDED)
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


def names_here(pid_directory: str, ctrl_directory: str, conf_directory: str) -> list[str]:
    """Name the instances of which QEMU may run: one of its files is there.

    Pid file and socket may have been taken away under a QEMU that lives on.

    Raises:
        errors.HypervisorError: a directory cannot be read.
    """
    return sorted(
        {
            *_names_in(pid_directory),
            *_names_in(ctrl_directory, _QMP_SUFFIX),
            *names_with_runtime(conf_directory),
        }
    )


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


def instance_info(files: InstanceFiles, deadline: float | None = None) -> InstanceInfo | None:
    """Tell what is known of one instance.

    Args:
        deadline: seconds that its QEMU may take; None for those of any call to QEMU.

    Returns:
        None for an instance that does not run, unless its user shut it down.

    Raises:
        errors.HypervisorError: it cannot be told whether it runs.
    """
    seconds = settings.QMP.value() if deadline is None else deadline
    infos = _infos([files], seconds, doubt_raises=True)
    return infos[0] if infos else None


def all_infos(instances: Iterable[InstanceFiles]) -> list[InstanceInfo]:
    """Tell what is known of the instances that run or were shut down by their users.

    A QEMU that waits for a guest, as it says itself, is not that guest: that still runs on the node
    it comes from, where Ganeti expects it.

    All are asked at once. What QEMU does not answer within the deadline of a listing is taken from
    its command line, so that a guest that hangs is still listed. So is one of which it cannot be
    told whether it runs.
    """
    return _infos(instances, settings.LISTING.value(), waiting=False)


def _infos(
    instances: Iterable[InstanceFiles],
    deadline: float,
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
    status = answer.values.get(numbers.STATUS)
    return isinstance(status, dict) and status.get("status") == "inmigrate"


def _ask(
    guests: Sequence[InstanceFiles], deadline: float
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
        told, added = numbers.read(answer.values), numbers.read_added(answer.values)
    except numbers.NonsenseError as err:
        # one odd guest must not hide all the others
        logging.warning("QEMU of %s tells what cannot be (%s): broken", name, err)
        told, added = numbers.NOTHING, 0
    if told.state:
        run_state.log(name, told.state)
    memory = told.memory
    if memory is None and process.memory is not None:
        memory = process.memory + added
    if memory is None and answer.verdict is fleet.Verdict.ANSWERED:
        memory = _ask_for_size(files)
    vcpus = process.vcpus if told.vcpus is None else told.vcpus
    return (name, process.pid, memory or 0, vcpus or 0, hv_base.HvInstanceState.RUNNING, 0)


def _ask_for_size(files: InstanceFiles) -> int | None:
    """Ask a guest without a balloon for its memory, where its command line does not say it."""
    try:
        answers = fleet.ask([files.qmp], lambda: [0], [numbers.SIZE, *_ADDED], _SIZE_DEADLINE)
        return numbers.read_size(answers[0].values)
    except (errors.HypervisorError, numbers.NonsenseError) as err:
        logging.warning("QEMU of %s does not tell its memory: %s", files.name, err)
        return None
