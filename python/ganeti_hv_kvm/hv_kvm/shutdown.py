"""How an instance is stopped, and what is cleaned up after it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ganeti import constants, errors, utils

from . import instance_files, instance_process, nic_scripts, run_state
from .instance_files import InstanceFiles
from .kvm_runtime import KVMRuntime
from .lifecycle import power_button

#: Seconds that QEMU gets to answer at least.
_LEAST = 1.0

#: (pid file, process id, is it the instance's QEMU and alive)
PidAlive = tuple[str, int, bool]


def power_off(files: InstanceFiles, pid_alive: PidAlive) -> None:
    """End QEMU as pulling the plug would.

    Raises:
        errors.HypervisorError: the process cannot be ended.
    """
    _, _, alive = pid_alive
    if alive:
        instance_process.kill(files)
    nic_scripts.undo_all(files)
    clear_user_shutdown(files)


def power_down(
    instance: Any,
    files: InstanceFiles,
    pid_alive: PidAlive,
    qmp_connection: Callable[[str], Any],
    timeout: float | None,
) -> bool:
    """Ask the guest to shut down (ACPI); without ACPI there is no way to ask, and QEMU is ended.

    With a ``timeout`` the caller repeats this call and forces the stop when the time is over: that
    is what Ganeti's node daemon does, and it gives up at the first error instead. So whatever kept
    the guest from being asked is then only logged: a later call may be luckier.

    Args:
        timeout: seconds after which the caller forces the stop, or None if it will not.

    Returns:
        Whether there is nobody left to be asked, or the guest was.

    Raises:
        errors.HypervisorError: the guest could not be asked.
    """
    _, pid, alive = pid_alive
    if not (pid > 0 and alive):
        clear_user_shutdown(files)
        return True
    if not instance.hvparams[constants.HV_ACPI] and not _was_started_with_acpi(files):
        power_off(files, pid_alive)
        return True
    try:
        connection = qmp_connection(files.qmp)
        if timeout is not None:
            connection.timeout = min(connection.timeout, max(timeout, _LEAST))
        with connection as qmp:
            power_button.press(qmp, files.name, run_state.ask(qmp))
        asked = True
    except errors.HypervisorError as err:
        if timeout is None:
            raise
        asked = False
        logging.warning(
            "Instance %s was not asked to shut down (%s); Ganeti asks again, and ends it %s s after"
            " it asked first",
            files.name,
            err,
            timeout,
        )
    clear_user_shutdown(files)
    return asked


def _was_started_with_acpi(files: InstanceFiles) -> bool:
    """Tell whether the guest has a power button: parameters may have changed since its start."""
    try:
        started_with = KVMRuntime.from_serialized(utils.ReadFile(files.runtime)).up_hvp
    except (OSError, errors.GenericError) as err:
        logging.warning(
            "Instance %s: it is not known what it was started with: %s", files.name, err
        )
        return not isinstance(err, FileNotFoundError)
    return bool(started_with.get(constants.HV_ACPI))


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
