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

from ganeti_hv_kvm.errors import ProcessUnknownError

from . import (
    instance_files,
    instance_process,
    machine_type,
    nic_scripts,
    qemu_binary,
    run_state,
    settings,
    shutdown,
)
from .instance_files import InstanceFiles
from .launch import Hooks, Launch
from .lifecycle import next_start, power_button
from .run_state import RunState
from .shutdown import PidAlive

#: Seconds after which the power button is pressed again, as Ganeti's shutdown does.
_ASK_AGAIN = 5.0

#: Seconds after which a guest is asked again that could not be asked: its monitor may be another
#: client's, or its QEMU busy.
_TRY_AGAIN = 1.0

#: Seconds between two looks at a process for which the kernel gives no pidfd.
_LOOK = 0.1

#: Run states in which there is no operating system that could be asked: it never began, or is over,
#: and QEMU itself would not let it go on.
_NOBODY_THERE = frozenset({"prelaunch", "shutdown", "internal-error", "guest-panicked"})

#: Run states of a guest that comes, goes or has gone: it may run on another node.
_IN_TRANSIT = frozenset({"inmigrate", "finish-migrate", "postmigrate", "colo"})


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
        if (alias := machine_type.stored(runtime[0])) and facts.machine_of(alias) != alias:
            _keep_machine(runtime[0], files, hooks)
        launch = Launch(instance, runtime, facts, files, hooks)
        next_start.check(launch)
    except errors.GenericError as err:
        raise errors.HypervisorError(
            f"Instance {name} was not rebooted, and still runs, as it could not start again: {err}"
        ) from err
    _end(launch, pid_alive, settings.REBOOT.seconds() if limit is None else limit)
    try:
        nic_scripts.undo_all(files)
        instance_files.remove_all(files)
        launch.run(lambda: save_runtime(instance, runtime))
    except (errors.GenericError, OSError) as err:
        raise errors.HypervisorError(
            f"Instance {name} was shut down for its reboot but did not start again; it is down"
            f" now: {err}"
        ) from err


def _keep_machine(command: list[Any], files: InstanceFiles, hooks: Hooks) -> None:
    """Store the type of machine that the guest has in place of its alias."""
    try:
        with hooks.qmp_connection(files.qmp) as qmp:
            machine_type.keep(command, machine_type.ask(qmp))
    except errors.HypervisorError as err:
        logging.warning(
            "QEMU of %s does not tell its machine; it stays the stored %s: %s",
            files.name,
            machine_type.stored(command),
            err,
        )


def _end(launch: Launch, pid_alive: PidAlive, limit: float) -> None:
    """Make QEMU end: by the guest's own shutdown if it can, else by force.

    Raises:
        errors.HypervisorError: its state forbids a reboot, or it could not be ended.
    """
    name = launch.instance.name
    with _Ending(launch, pid_alive[1]) as ending:
        asked = launch.has_power_button()
        if not asked:
            logging.info("Instance %s has no ACPI to be asked by: ending it for its reboot", name)
        if not (asked and ending.by_power_button(limit)):
            shutdown.power_off(launch.files, pid_alive)
        try:
            still_there = launch.hooks.pid_alive(name)[2]
        except ProcessUnknownError as err:
            raise errors.HypervisorError(
                f"Instance {name} was shut down for its reboot but did not start again; it is down"
                f" now, or on its way: {err}"
            ) from err
        if still_there:
            raise errors.HypervisorError(
                f"Instance {name} was not rebooted: its QEMU (process {pid_alive[1]}) could not be"
                " ended, and its files were left as they are"
            )


class _Ending:
    """The end of one QEMU process: it is asked for and waited for."""

    def __init__(self, launch: Launch, pid: int) -> None:
        self._launch = launch
        self._name = launch.instance.name
        self._pid = pid
        self._pidfd: int | None = None
        self._was_asked = False
        self._trouble = ""

    def __enter__(self) -> _Ending:
        # Without one the process is looked up by its number, again and again.
        with contextlib.suppress(OSError):
            self._pidfd = os.pidfd_open(self._pid)
        return self

    def __exit__(self, *_error: object) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)

    def by_power_button(self, limit: float) -> bool:
        """Press the power button, again and again, until QEMU has ended; False if it does not."""
        deadline = time.monotonic() + limit
        while (left := deadline - time.monotonic()) > 0:
            state = self._press(left)
            if state is not None and state.status in _NOBODY_THERE:
                logging.warning(
                    "The guest of %s %s, so that there is nobody to be asked: ending it for its"
                    " reboot",
                    self._name,
                    state.words,
                )
                return False
            wait = _TRY_AGAIN if state is None else _ASK_AGAIN
            if self._is_gone_after(min(wait, max(0.0, deadline - time.monotonic()))):
                return True
        logging.warning(
            "Instance %s did not shut down within %g s%s: ending it for its reboot",
            self._name,
            limit,
            "" if self._was_asked else f". It was never asked ({self._trouble or 'no time'})",
        )
        return False

    def _press(self, left: float) -> RunState | None:
        """Give what the guest was doing when it was asked; None if it could not be asked."""
        connection = self._launch.hooks.qmp_connection(self._launch.files.qmp)
        connection.timeout = min(connection.timeout, left)
        try:
            with connection as qmp:
                state = run_state.ask(qmp)
                self._check_is_ours(state)
                power_button.press(qmp, self._name, state)
        except _Elsewhere as err:
            raise errors.HypervisorError(str(err)) from err
        except errors.HypervisorError as err:
            if str(err) != self._trouble and not self._is_gone_after(0.0):
                logging.warning("Instance %s cannot be asked to shut down yet: %s", self._name, err)
            self._trouble = str(err)
            return None
        self._was_asked = True
        return state

    def _check_is_ours(self, state: RunState) -> None:
        """Leave a guest alone that comes, goes, or has gone to another node."""
        if state.status in _IN_TRANSIT:
            raise _Elsewhere(
                f"Instance {self._name} was not rebooted, as it {state.words}: started here, it"
                " could run twice. Let its migration end first ('gnt-instance migrate --cleanup"
                f" {self._name}')"
            )

    def _is_gone_after(self, seconds: float) -> bool:
        """Wait so long for the end of QEMU, and tell whether it has come."""
        if self._pidfd is not None:
            return instance_process.wait_gone(self._pidfd, seconds)
        deadline = time.monotonic() + seconds
        while self._is_there():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOOK)
        return True

    def _is_there(self) -> bool:
        try:
            return self._launch.hooks.pid_alive(self._name)[2]
        except errors.HypervisorError:
            return True  # nobody can tell


class _Elsewhere(errors.HypervisorError):  # type: ignore[misc]
    """The guest may run on another node."""
