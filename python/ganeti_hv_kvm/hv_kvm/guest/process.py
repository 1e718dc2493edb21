"""The QEMU process of an instance: is it there, what was it started with, how does it end.

Who it is the kernel says: whoever holds the lock of the pid file, or listens on the monitor's
socket. Its command line is read for values alone. All of that is done in Rust (src/process).
"""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Sequence
from typing import NamedTuple

from ganeti import errors

from ganeti_hv_kvm import _native
from ganeti_hv_kvm.errors import ProcessUnknownError

from .files import InstanceFiles

#: Seconds that QEMU gets to flush its disks and go, before it is killed.
TERM_GRACE = 30.0

# Seconds between two tries to wait for a process, and how many of them the kernel may refuse.
_LOOK = 0.05
_MOST_REFUSED = 20


class ProcessInfo(NamedTuple):
    """A QEMU process.

    Attributes:
        memory: MiB, as its command line says; None where that cannot be read.
        vcpus: their number, likewise.
    """

    pid: int
    memory: int | None
    vcpus: int | None


#: A process, None where there is none, or why it cannot be told
Finding = ProcessInfo | ProcessUnknownError | None


def find(files: InstanceFiles) -> int | None:
    """Give the process id of the instance's QEMU, None if it does not run.

    Raises:
        ProcessUnknownError: it cannot be told; what could not be read, and what to do.
    """
    try:
        return _native.find_process(files.pidfile, files.qmp)
    except ProcessUnknownError as err:
        raise _doubt(files, err) from err


def find_all(guests: Sequence[InstanceFiles]) -> list[Finding]:
    """Find the processes of many instances, with a few descriptors for all of them."""
    found = _native.find_processes([(files.pidfile, files.qmp) for files in guests])
    return [
        _doubt(files, one) if isinstance(one, ProcessUnknownError) else one and ProcessInfo(*one)
        for files, one in zip(guests, found, strict=True)
    ]


def _doubt(files: InstanceFiles, err: ProcessUnknownError) -> ProcessUnknownError:
    return ProcessUnknownError(_explain(files, err))


def _explain(files: InstanceFiles, err: ProcessUnknownError) -> str:
    return (
        f"Instance {files.name}: it cannot be told whether its QEMU runs: {err}. Nothing was"
        " started, ended or removed on this doubt; 'lslocks' and 'ss -xlp' say who has"
        f" {files.pidfile} and {files.qmp}. Let them be read, and try again"
    )


def info(pid: int) -> tuple[str, int, int]:
    """Read the command line of process ``pid``: instance name, MiB of memory, number of vCPUs.

    The numbers are 0 where they cannot be read. This says nothing about who the process is.

    Raises:
        errors.HypervisorError: there is no such process, or no name in its command line.
    """
    if pid <= 0:
        raise errors.HypervisorError(f"{pid} is not the number of a process")
    if _native.process_condition(pid) == "gone":
        raise errors.HypervisorError(f"No process {pid}")
    name, memory, vcpus = _native.process_values(pid)
    if not name:
        raise errors.HypervisorError(f"Process {pid} is not a QEMU with the -name of an instance")
    return (name, memory or 0, vcpus or 0)


def is_stopped(pid: int) -> bool:
    """Tell whether a process is stopped (a signal, a debugger, a freezer): it answers nobody.

    Raises:
        ProcessUnknownError: it cannot be told.
    """
    return _native.process_condition(pid) in ("stopped", "frozen")


def kill(files: InstanceFiles, grace: float = TERM_GRACE) -> None:
    """End the instance's QEMU, by SIGTERM and then SIGKILL; wait till it is gone.

    Whoever holds the lock of its pid file, or listens on its monitor, is ended, and nobody else. A
    stopped process cannot obey SIGTERM, and is killed at once.

    Args:
        grace: seconds between the two signals.

    Raises:
        errors.HypervisorError: it is still there after SIGKILL, or that cannot be told.
    """
    try:
        verdict, pid, state, condition = _native.end_process(files.pidfile, files.qmp, grace)
    except ProcessUnknownError as err:
        raise ProcessUnknownError(
            f"Instance {files.name}: it cannot be told whether its QEMU has ended: {err}. Its files"
            " were left; 'lslocks' and 'ss -xlp' say who has"
            f" {files.pidfile} and {files.qmp}. Let them be read, and try again"
        ) from err
    if verdict == "killed":
        logging.warning("QEMU of %s (pid %d) ignores SIGTERM: it was killed", files.name, pid)
    if verdict == "still there":
        frozen = ": the freezer of its cgroup holds it, thaw it" if condition == "frozen" else ""
        raise errors.HypervisorError(
            f"Instance {files.name}: process {pid} is still there {grace:g} s after SIGKILL"
            f" (state {state}){frozen}; it may hold its disks open"
        )


def wait_gone(pidfd: int, seconds: float) -> bool:
    """Wait for the end of a process; a zombie that nobody reaps counts as ended.

    Args:
        pidfd: as made by ``os.pidfd_open``.
        seconds: how long at most.

    Returns:
        Whether it has ended.

    Raises:
        errors.HypervisorError: the kernel lets nobody wait, again and again.
    """
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    deadline = time.monotonic() + seconds
    refused = 0
    while True:
        left = deadline - time.monotonic()
        try:
            if poll.poll(max(0.0, left) * 1000):
                return True
        except OSError as err:  # it has no memory for that, at this moment
            refused += 1
            if left <= 0 and refused > _MOST_REFUSED:
                raise errors.HypervisorError(
                    f"the end of a process cannot be waited for: {err}"
                ) from err
            time.sleep(_LOOK)
            continue
        if left <= 0:
            return False
