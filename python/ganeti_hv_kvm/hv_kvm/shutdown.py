"""How an instance is stopped, and what is cleaned up after it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ganeti import constants, errors, utils

from ganeti_hv_kvm import errors as own_errors

from . import instance_files, instance_process, nic_scripts
from .instance_files import InstanceFiles

#: (pid file, process id, is it the instance's QEMU and alive)
PidAlive = tuple[str, int, bool]


def power_off(files: InstanceFiles, pid_alive: PidAlive) -> None:
    """End QEMU as pulling the plug would.

    Raises:
        errors.HypervisorError: the process cannot be ended.
    """
    _, pid, _ = pid_alive
    if pid > 0:
        instance_process.kill(pid, files.name)
    nic_scripts.undo_all(files)
    clear_user_shutdown(files)


def power_down(
    instance: Any,
    files: InstanceFiles,
    pid_alive: PidAlive,
    qmp_connection: Callable[[str], Any],
    timeout: float | None,
) -> None:
    """Ask the guest to shut down (ACPI); without ACPI there is no way to ask, and QEMU is ended.

    With a ``timeout`` the caller repeats this call and forces the stop when the time is over: that
    is what Ganeti's node daemon does, and it gives up at the first error instead. So a QEMU that
    does not answer is then only logged: the force that follows does not need its answer.

    Args:
        timeout: seconds after which the caller forces the stop, or None if it will not.

    Raises:
        errors.HypervisorError: the guest could not be asked.
    """
    _, pid, alive = pid_alive
    if not (pid > 0 and alive):
        clear_user_shutdown(files)
        return
    if not instance.hvparams[constants.HV_ACPI]:
        power_off(files, pid_alive)
        return
    try:
        with qmp_connection(files.qmp) as qmp:
            qmp.execute_qmp("system_powerdown")
    except (own_errors.QmpTimeoutError, own_errors.QmpConnectError) as err:
        if timeout is None:
            raise
        logging.warning(
            "Instance %s could not be asked to shut down (%s); Ganeti will end it within %s s",
            files.name,
            err,
            timeout,
        )
    clear_user_shutdown(files)


def clean_up(files: InstanceFiles, pid_alive: PidAlive) -> None:
    """Remove what a stopped instance left.

    Raises:
        errors.HypervisorError: it still runs (nothing was removed), or files are left (they are
            named).
    """
    _, pid, alive = pid_alive
    if pid > 0 and alive:
        raise errors.HypervisorError(
            f"Instance {files.name} still runs (process {pid}): nothing was cleaned up"
        )
    nic_scripts.undo_all(files)
    instance_files.remove_all(files)
    clear_user_shutdown(files)


def clear_user_shutdown(files: InstanceFiles) -> None:
    """Forget that the user shut the guest down from within."""
    utils.RemoveFile(files.shutdown)
