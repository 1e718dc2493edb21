"""A soft reboot: the guest shuts down by itself, and a new QEMU starts with the same devices.

A reset inside the running QEMU would not do: the guest is to come back on the QEMU that is
installed now, and its file systems are to be unmounted first.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time

from ganeti import errors

from ganeti_hv_kvm.errors import ProcessUnknownError
from ganeti_hv_kvm.hv_kvm.ganeti import settings
from ganeti_hv_kvm.hv_kvm.ganeti.unfit_values import told_of
from ganeti_hv_kvm.hv_kvm.guest import files as instance_files
from ganeti_hv_kvm.hv_kvm.guest import machine_type, process
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.host import nic_scripts
from ganeti_hv_kvm.hv_kvm.qemu.verbs import control
from ganeti_hv_kvm.qmp_values.run_state import RunState

from . import next_start, power_button, stop
from .start import Start

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


def reboot(guest: Guest, *, limit: float | None = None) -> None:
    """Shut a running guest down, by force after a while, and start it again.

    What the new start needs is checked first: a guest that could not come back is left running.

    Args:
        guest: its instance's hvparams are those of today.
        limit: seconds that the guest gets to shut down; None for ``settings.REBOOT``.

    Raises:
        errors.HypervisorError: the guest does not run, or could not start again (nothing was
            done), or did not come back (it is down now). The text says which.
    """
    pid = guest.pid()
    if pid is None:
        raise errors.HypervisorError(f"Instance {guest.name} does not run, so it was not rebooted")
    try:
        runtime = guest.seams.load_current_runtime(guest.instance)
        facts = guest.facts()
        if (alias := machine_type.stored(runtime.kvm_cmd)) and facts.machine_of(alias) != alias:
            _keep_machine(guest, runtime.kvm_cmd)
        with told_of(guest.files.runtime):
            start = Start(guest, runtime, facts)
        next_start.check(start)
    except (errors.GenericError, OSError) as err:
        raise errors.HypervisorError(
            f"Instance {guest.name} was not rebooted, and still runs, as it could not start again:"
            f" {err}"
        ) from err
    _end(start, pid, settings.REBOOT.value() if limit is None else limit)
    try:
        nic_scripts.undo_all(guest.files)
        instance_files.remove_all(guest.files)
        start.run(save_runtime=lambda: guest.save(runtime))
    except (errors.GenericError, OSError) as err:
        raise errors.HypervisorError(
            f"Instance {guest.name} was shut down for its reboot but did not start again; it is"
            f" down now: {err}"
        ) from err


def _keep_machine(guest: Guest, command: list[str]) -> None:
    """Store the type of machine that the guest has in place of its alias."""
    try:
        with guest.monitor() as qmp:
            machine_type.keep(command, machine_type.ask(qmp))
    except errors.HypervisorError as err:
        logging.warning(
            "QEMU of %s does not tell its machine; it stays the stored %s: %s",
            guest.name,
            machine_type.stored(command),
            err,
        )


def _end(start: Start, pid: int, limit: float) -> None:
    """Make QEMU end: by the guest's own shutdown if it can, else by force.

    Raises:
        errors.HypervisorError: its state forbids a reboot, or it could not be ended.
    """
    guest = start.guest
    with _Ending(guest, pid) as ending:
        asked = start.has_power_button()
        if not asked:
            logging.info(
                "Instance %s has no ACPI to be asked by: ending it for its reboot", guest.name
            )
        if not (asked and ending.by_power_button(limit)):
            stop.power_off(guest)
        try:
            still_there = not ending.is_over()
        except ProcessUnknownError as err:
            raise errors.HypervisorError(
                f"Instance {guest.name} was shut down for its reboot but did not start again; it"
                f" is down now, or on its way, and {guest.files.runtime} and {guest.files.nic_dir}"
                f" were left: {err}"
            ) from err
        if still_there:
            raise errors.HypervisorError(
                f"Instance {guest.name} was not rebooted: its QEMU (process {pid}) could not be"
                " ended, and its files were left as they are"
            )


class _Ending:
    """The end of one QEMU process: it is asked for and waited for."""

    def __init__(self, guest: Guest, pid: int) -> None:
        self._guest = guest
        self._name = guest.name
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

    def is_over(self) -> bool:
        """Tell whether QEMU has ended; the kernel knows, even where no file can be opened.

        Raises:
            ProcessUnknownError: it cannot be told.
        """
        if self._pidfd is not None:
            # not 0: an interrupted look would be taken for a process that is still there
            return process.wait_gone(self._pidfd, _TRY_AGAIN)
        return self._guest.pid() is None

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
        connection = self._guest.monitor()
        connection.timeout = min(connection.timeout, left)
        try:
            with connection as qmp:
                state = control.query_status(qmp)
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
            return process.wait_gone(self._pidfd, seconds)
        deadline = time.monotonic() + seconds
        while self._is_there():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOOK)
        return True

    def _is_there(self) -> bool:
        try:
            return self._guest.pid() is not None
        except errors.HypervisorError:
            return True  # nobody can tell


class _Elsewhere(errors.HypervisorError):
    """The guest may run on another node."""
