"""A soft reboot: the guest shuts down by itself, and a new QEMU starts with the same devices.

A reset inside the running QEMU would not do: the guest is to come back on the QEMU that is
installed now, and its file systems are to be unmounted first.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable
from typing import Any

from ganeti import constants, errors

from . import (
    instance_files,
    instance_process,
    local_files,
    nic_scripts,
    qemu_binary,
    run_state,
    settings,
    shutdown,
)
from .instance_files import InstanceFiles
from .launch import Hooks, Launch
from .shutdown import PidAlive

#: Seconds after which the power button is pressed again, as Ganeti's shutdown does.
_ASK_AGAIN = 5.0


def reboot(
    instance: Any,
    files: InstanceFiles,
    hooks: Hooks,
    load_runtime: Callable[[Any], Any],
    save_runtime: Callable[[Any, Any], None],
    *,
    limit: float | None = None,
) -> None:
    """Shut a running guest down, by force after a while, and start it again.

    What the new start needs is checked first: a guest that could not come back is left running.

    Args:
        instance: Ganeti's ``objects.Instance``; its hvparams are those of today.
        load_runtime: reads the runtime file of an instance.
        save_runtime: writes it again, as it goes with the old process.
        limit: seconds that the guest gets to shut down; None for ``settings.REBOOT``.

    Raises:
        errors.HypervisorError: the guest does not run, or could not start again (nothing was
            done), or did not come back (it is down now). The text says which.
    """
    name = instance.name
    pid_alive = hooks.pid_alive(name)
    if not pid_alive[2]:
        raise errors.HypervisorError(f"Instance {name} does not run, so it was not rebooted")
    try:
        runtime = load_runtime(instance)
        facts = qemu_binary.probe(instance.hvparams[constants.HV_KVM_PATH])
        launch = Launch(instance, runtime, facts, files, hooks)
        launch.check()
        local_files.check(runtime[2], runtime[3])
    except errors.GenericError as err:
        raise errors.HypervisorError(
            f"Instance {name} was not rebooted, and still runs, as it could not start again: {err}"
        ) from err
    _end(launch, pid_alive, settings.REBOOT.seconds() if limit is None else limit)
    try:
        nic_scripts.undo_all(files)
        instance_files.remove_all(files)
        launch.run(lambda: save_runtime(instance, runtime))
    except errors.GenericError as err:
        raise errors.HypervisorError(
            f"Instance {name} was shut down for its reboot but did not start again; it is down"
            f" now: {err}"
        ) from err


def _end(launch: Launch, pid_alive: PidAlive, limit: float) -> None:
    """Make QEMU end: by the guest's own shutdown if it can, else by force."""
    _, pid, _ = pid_alive
    hvparams, name = launch.instance.hvparams, launch.instance.name
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, pidfd)
        if not hvparams[constants.HV_ACPI]:
            logging.info("Instance %s has no ACPI to be asked by: ending it for its reboot", name)
        elif _shut_down(launch.files, pidfd, limit, launch.hooks.qmp_connection):
            return
        shutdown.power_off(launch.files, pid_alive)


def _shut_down(
    files: InstanceFiles, pidfd: int, limit: float, qmp_connection: Callable[[str], Any]
) -> bool:
    """Press the power button until QEMU has ended; False if that will not come to be."""
    deadline = time.monotonic() + limit
    while (left := deadline - time.monotonic()) > 0:
        try:
            with qmp_connection(files.qmp) as qmp:
                state = run_state.ask(qmp)
                if state.is_running:
                    qmp.execute_qmp("system_powerdown")
        except errors.HypervisorError as err:
            # it may have gone while we asked
            if instance_process.wait_gone(pidfd, min(left, 1.0)):
                return True
            logging.warning("Instance %s cannot be asked to shut down: %s", files.name, err)
            return False
        if not state.is_running:
            logging.warning(
                "The guest of %s %s and cannot shut down: ending it for its reboot",
                files.name,
                state.words,
            )
            return False
        if instance_process.wait_gone(pidfd, min(left, _ASK_AGAIN)):
            return True
    logging.warning(
        "Instance %s did not shut down within %g s: ending it for its reboot", files.name, limit
    )
    return False
