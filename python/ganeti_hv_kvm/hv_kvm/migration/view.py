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

#: Seconds for a QEMU that is stopped by a signal: it answers only if somebody continues it.
STOPPED_DEADLINE = 15.0


class View(NamedTuple):
    """What is known of the guest on this node.

    Attributes:
        alive: its process is there.
        answers: QEMU told the rest; otherwise it is empty.
        run_state: query-status ("running", "inmigrate", "postmigrate", ...).
        status: query-migrate ("none", "active", "completed", ...).
        error: why the migration failed, in QEMU's words.
    """

    alive: bool = True
    answers: bool = True
    run_state: str = ""
    status: str = "none"
    error: str = ""


GONE = View(alive=False, answers=False)
SILENT = View(answers=False)


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
        """Its QEMU's process id, None if it does not run here."""
        _, pid, alive = self.hooks.pid_alive(self.name)
        return pid if alive else None

    @contextlib.contextmanager
    def monitor(self) -> Iterator[Any]:
        """Connect to QEMU, with the patience that a migration needs."""
        connection = self.hooks.qmp_connection(self.files.qmp)
        connection.timeout = self._deadline()
        with connection as qmp:
            yield qmp

    def _deadline(self) -> float:
        pid = self.pid()
        if pid is not None and instance_process.is_stopped(pid):
            return min(STOPPED_DEADLINE, settings.MIGRATION.seconds())
        return settings.MIGRATION.seconds()

    def look(self) -> View:
        """See what is here; a QEMU that cannot be asked is ``SILENT``."""
        if self.pid() is None:
            return GONE
        try:
            with self.monitor() as qmp:
                return ask(qmp)
        except errors.HypervisorError as err:
            if self.pid() is None:
                return GONE
            logging.warning("QEMU of %s does not tell how its migration stands: %s", self.name, err)
            return SILENT


def ask(qmp: Any) -> View:
    """Ask a connected QEMU."""
    # First the migration: a run state that is older than the status could hide a switch-over.
    migration = qmp.GetMigrationStatus()
    return View(
        status=migration.get("status", "none"),
        error=migration.get("error-desc", ""),
        run_state=qmp.execute_qmp("query-status")["status"],
    )
