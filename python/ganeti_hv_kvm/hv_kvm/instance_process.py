"""The QEMU process of an instance: is it there, what was it started with, how does it end."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import select
import signal
import time
from typing import NamedTuple

from ganeti import errors

#: Seconds that QEMU gets to flush its disks and go, before it is killed.
TERM_GRACE = 30.0


# proc(5): the field "flags" after the state letter, and the kernel's include/linux/sched.h
_FLAGS = 6
_PF_EXITING = 0x4

_AT_ONCE = 1 << 15


class ProcessInfo(NamedTuple):
    """What the command line of a QEMU process tells: instance name, MiB of memory, vCPUs."""

    pid: int
    name: str
    memory: int
    vcpus: int


def read_small(path: str) -> bytes:
    """Read a file as a listing needs it: Python's file objects double the system calls."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = part = os.read(descriptor, _AT_ONCE)
        while len(part) == _AT_ONCE:
            part = os.read(descriptor, _AT_ONCE)
            content += part
        return content
    finally:
        os.close(descriptor)


def _stat(pid: int) -> list[str]:
    """Give the fields of /proc/PID/stat from the state letter on; none if the process is gone."""
    try:
        content = read_small(f"/proc/{pid}/stat")
    except OSError:
        return []
    # the name in brackets may itself hold brackets and blanks
    return content.rpartition(b")")[2].decode("ascii", "replace").split()


def state(pid: int) -> str | None:
    """Give the state letter of a process (proc(5): R, S, D, T, Z, ...), None if it is gone."""
    fields = _stat(pid)
    return fields[0] if fields else None


def is_exiting(pid: int) -> bool:
    """Tell whether the process is on its way out: its command line is gone, its files may not."""
    fields = _stat(pid)
    return len(fields) > _FLAGS and bool(int(fields[_FLAGS]) & _PF_EXITING)


def is_stopped(pid: int) -> bool:
    """Tell whether the process is stopped (SIGSTOP or a debugger): it will answer nobody."""
    return state(pid) in ("T", "t")


def info(pid: int) -> ProcessInfo:
    """Read the command line of the QEMU process with the number ``pid``.

    Raises:
        errors.HypervisorError: there is no such process, or it is not an instance of Ganeti's.
    """
    if pid <= 0:
        raise errors.HypervisorError(f"{pid} is not the number of a process")
    try:
        cmdline = read_small(f"/proc/{pid}/cmdline")
    except OSError as err:
        raise errors.HypervisorError(f"No process {pid}: {err.strerror}") from err
    arguments = cmdline.decode("utf-8", "surrogateescape").split("\0")
    values = dict(itertools.pairwise(arguments))
    name = values.get("-name", "").split(",")[0]
    if not name:
        raise errors.HypervisorError(f"Process {pid} is not a QEMU with the -name of an instance")
    try:
        memory = int(values.get("-m", 0))
        vcpus = int(values.get("-smp", "0").split(",")[0])
    except ValueError as err:
        raise errors.HypervisorError(
            f"Process {pid} of instance {name}: its -m or -smp cannot be read: {err}"
        ) from err
    return ProcessInfo(pid, name, memory, vcpus)


def info_or_none(pid: int) -> ProcessInfo | None:
    """Do the same, but give None for a process that has gone meanwhile."""
    try:
        return info(pid)
    except errors.HypervisorError:
        return None


def is_instance(pid: int, name: str) -> bool:
    """Tell whether process ``pid`` is the QEMU of the instance ``name``."""
    process = info_or_none(pid)
    return process is not None and process.name == name


def kill(pid: int, name: str, grace: float = TERM_GRACE) -> None:
    """End the QEMU of the instance ``name``, by SIGTERM and then SIGKILL; wait till it is gone.

    A pidfd keeps the signal from a stranger who was given the number meanwhile. A stopped process
    cannot obey SIGTERM, and is killed at once.

    Args:
        pid: the process, as found in the instance's pid file.
        name: the instance; a process that is not its QEMU is left alone.
        grace: seconds between the two signals.

    Raises:
        errors.HypervisorError: the process is still there after SIGKILL.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if is_exiting(pid):
            # TAP devices and disks are free only once it is gone
            wait_gone(pidfd, grace)
            return
        if not is_instance(pid, name):
            return
        if not is_stopped(pid):
            _send(pidfd, signal.SIGTERM)
            if wait_gone(pidfd, grace):
                return
            logging.warning("QEMU of %s (pid %d) ignores SIGTERM: killing it", name, pid)
        _send(pidfd, signal.SIGKILL)
        if not wait_gone(pidfd, grace):
            raise errors.HypervisorError(
                f"Instance {name}: process {pid} is still there {grace:g} s after SIGKILL"
                f" (state {state(pid)}); it may hold its disks open"
            )
    finally:
        os.close(pidfd)


def _send(pidfd: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, number)


def wait_gone(pidfd: int, seconds: float) -> bool:
    """Wait for the end of a process; a zombie that nobody reaps counts as ended.

    Args:
        pidfd: as made by ``os.pidfd_open``.
        seconds: how long at most.

    Returns:
        Whether it has ended.
    """
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    deadline = time.monotonic() + seconds
    while True:
        left = deadline - time.monotonic()
        if poll.poll(max(0.0, left) * 1000):
            return True
        if left <= 0:
            return False
