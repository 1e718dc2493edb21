"""Which instances run on this node, and what is known of them."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from typing import Any

from ganeti import errors
from ganeti.hypervisor import hv_base

from ganeti_hv_kvm import errors as own_errors

from . import instance_process, run_state
from .instance_files import InstanceFiles
from .instance_process import ProcessInfo

#: (name, process id, MiB of memory, vCPUs, hv_base.HvInstanceState, CPU time), as Ganeti wants it
InstanceInfo = tuple[str, int, int, int, int, int]

#: Seconds that one guest may hold up a listing.
LISTING_DEADLINE = 2.0

_MIB = 1 << 20
_REFUSALS = (own_errors.QmpRefusedError, own_errors.QmpCommandNotSupported)
_RUNTIME_SUFFIX = ".runtime"


def names_with_runtime(conf_directory: str) -> list[str]:
    """Name the instances that have a runtime file; they may or may not run."""
    return sorted(
        entry.removesuffix(_RUNTIME_SUFFIX)
        for entry in os.listdir(conf_directory)
        if entry.endswith(_RUNTIME_SUFFIX)
    )


def instance_info(
    files: InstanceFiles,
    pid: int,
    process: ProcessInfo | None,
    qmp_connection: Callable[[str], Any],
    deadline: float | None = None,
) -> InstanceInfo | None:
    """Tell what is known of one instance.

    What QEMU does not answer is taken from its command line, so that a guest that hangs is still
    listed.

    Args:
        process: what the process tells; None if it is gone.
        deadline: seconds that QEMU gets for its answer; None for the connection's own.

    Returns:
        None for an instance that does not run, unless its user shut it down.
    """
    if process is None:
        if os.path.exists(files.shutdown):
            return (files.name, -1, 0, 0, hv_base.HvInstanceState.SHUTDOWN, 0)
        return None
    memory, vcpus = process.memory, process.vcpus
    if instance_process.is_stopped(pid):
        logging.warning("QEMU of %s (pid %d) is stopped and cannot answer", files.name, pid)
    else:
        try:
            memory, vcpus = _ask(files, memory, vcpus, qmp_connection, deadline)
        except errors.HypervisorError as err:
            logging.warning("QEMU of %s does not tell its memory and CPUs: %s", files.name, err)
    return (files.name, pid, memory, vcpus, hv_base.HvInstanceState.RUNNING, 0)


def _ask(
    files: InstanceFiles,
    memory: int,
    vcpus: int,
    qmp_connection: Callable[[str], Any],
    deadline: float | None,
) -> tuple[int, int]:
    """Ask QEMU for memory (MiB) and vCPUs; each answer stands for itself.

    A guest that does not run is logged: Ganeti has no state for it, and is told that it runs.
    """
    connection = qmp_connection(files.qmp)
    if deadline is not None:
        connection.timeout = min(deadline, connection.timeout)
    with connection as qmp:
        with contextlib.suppress(*_REFUSALS):
            run_state.log(files.name, run_state.ask(qmp))
        with contextlib.suppress(*_REFUSALS):
            vcpus = len(qmp.execute_qmp("query-cpus-fast"))
        # a guest without a balloon device refuses this one
        with contextlib.suppress(*_REFUSALS):
            memory = qmp.execute_qmp("query-balloon")["actual"] // _MIB
    return memory, vcpus
