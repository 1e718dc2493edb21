"""What one node sees of a guest that migrates: its process, and what its QEMU says."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

from ganeti import errors

from ganeti_hv_kvm.hv_kvm import instance_process, settings
from ganeti_hv_kvm.hv_kvm.instance_files import InstanceFiles
from ganeti_hv_kvm.hv_kvm.launch import Hooks

from . import answers

#: Seconds for a QEMU that is stopped by a signal: it answers only if somebody continues it.
STOPPED_DEADLINE = 15.0


class View(NamedTuple):
    """What is known of the guest on this node.

    Attributes:
        alive: its process is there; None: that cannot be told.
        answers: QEMU told the rest; otherwise it is empty.
        run_state: query-status ("running", "inmigrate", "postmigrate", ...).
        status: query-migrate ("none", "active", "completed", ...).
        error: why the migration failed, in QEMU's words; or why nothing can be told.
    """

    alive: bool | None = True
    answers: bool = True
    run_state: str = ""
    status: str = "none"
    error: str = ""


GONE = View(alive=False, answers=False)
SILENT = View(answers=False)
#: Whether there is a process cannot be told.
UNSEEN = View(alive=None, answers=False)


class MigratingGuest(NamedTuple):
    """A guest on one of its two nodes.

    Attributes:
        instance: Ganeti's ``objects.Instance``.
        files: where it has its files on this node.
        hooks: what the hypervisor object lends.
    """

    instance: Any
    files: InstanceFiles
    hooks: Hooks

    @property
    def name(self) -> str:
        """The instance's name."""
        return str(self.instance.name)

    def pid(self) -> int | None:
        """Its QEMU's process id, None if it does not run here.

        Raises:
            errors.HypervisorError: whether it runs cannot be told.
        """
        _, pid, alive = self.hooks.pid_alive(self.name)
        return pid if alive else None

    def is_gone(self) -> bool:
        """Tell whether it is certain that it does not run here."""
        try:
            return self.pid() is None
        except errors.HypervisorError as err:
            logging.warning("Whether %s has a QEMU here cannot be told: %s", self.name, err)
            return False

    def process(self) -> str:
        """Name its process in an error text."""
        try:
            pid = self.pid()
        except errors.HypervisorError as err:
            return f"process not known: {err}"
        return "process gone" if pid is None else f"process {pid}"

    @contextlib.contextmanager
    def monitor(self, deadline: float | None = None) -> Iterator[Any]:
        """Connect to QEMU, with the patience that a migration needs, or the given seconds."""
        connection = self.hooks.qmp_connection(self.files.qmp)
        connection.timeout = self._deadline() if deadline is None else deadline
        with connection as qmp:
            yield qmp

    def is_stopped(self) -> bool:
        """Tell whether its process was stopped by a signal: it answers nobody."""
        pid = self.pid()
        return pid is not None and instance_process.is_stopped(pid)

    def _deadline(self) -> float:
        patience = settings.MIGRATION.seconds()
        return min(STOPPED_DEADLINE, patience) if self.is_stopped() else patience

    def look(self) -> View:
        """See what is here; ``SILENT`` is a QEMU that cannot be asked, ``UNSEEN`` a doubt."""
        try:
            if self.pid() is None:
                return GONE
        except errors.HypervisorError as err:
            logging.warning("Whether %s has a QEMU here cannot be told: %s", self.name, err)
            return UNSEEN._replace(error=str(err))
        try:
            with self.monitor() as qmp:
                return ask(qmp)
        except errors.HypervisorError as err:
            logging.warning("QEMU of %s does not tell how its migration stands: %s", self.name, err)
            return self._look_again()

    def _look_again(self) -> View:
        """It did not answer: has it gone meanwhile?"""
        try:
            return GONE if self.pid() is None else SILENT
        except errors.HypervisorError as err:
            return UNSEEN._replace(error=str(err))


def ask(qmp: Any) -> View:
    """Ask a connected QEMU.

    Raises:
        errors.HypervisorError: it does not answer, or with nonsense.
    """
    # First the migration: a run state that is older than the status could hide a switch-over.
    migration = answers.read_migration(qmp.GetMigrationStatus())
    return View(
        status=migration.status,
        error=migration.error,
        run_state=answers.read_run_state(qmp.execute_qmp("query-status")),
    )
