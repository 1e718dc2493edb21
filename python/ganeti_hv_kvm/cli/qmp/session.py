"""One command to one guest's monitor, which is held for that long and no longer.

QEMU serves one client at a time: as long as this one holds the monitor, Ganeti's calls wait.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ganeti_hv_kvm.cli.frame.failure import CommandError, UsageError
from ganeti_hv_kvm.cli.frame.output import quoted
from ganeti_hv_kvm.cli.node import masking
from ganeti_hv_kvm.cli.qmp import reading
from ganeti_hv_kvm.cli.qmp.schema import Schema, UnfitError

if TYPE_CHECKING:
    from ganeti_hv_kvm import QmpConnection
    from ganeti_hv_kvm.cli.node.guests import LocalGuest

HUMAN = "human-monitor-command"


class Session:
    """A guest whose monitor is asked now and then.

    Args:
        guest: whose.
        seconds: that each command may take, with the wait for the monitor.
        may_write: whether commands that change something are sent.
    """

    def __init__(self, guest: LocalGuest, seconds: float, *, may_write: bool) -> None:
        self._guest = guest
        self._seconds = seconds
        self._may_write = may_write
        self._schema: Schema | None = None
        self._schema_of: int | None = None

    @property
    def name(self) -> str:
        """The guest's name."""
        return self._guest.name

    def schema(self) -> Schema:
        """Give what this guest's QEMU says that it takes; it is asked once.

        Raises:
            CommandError: it does not say.
        """
        if self._schema is None:
            with self._open() as monitor:
                self._schema_through(monitor, time.monotonic() + self._seconds)
        if self._schema is None:  # never: `_schema_through` made it, or raised
            raise CommandError("QEMU gave no schema")
        return self._schema

    def check_allowed(self, command: str, arguments: Mapping[str, object]) -> None:
        """See that a command may be sent.

        Raises:
            UsageError: it changes something, and nobody said that this is meant.
        """
        if not self._may_write and not reading.only_looks(command, arguments):
            shown = command
            if command == HUMAN:
                shown = masking.human(str(arguments.get("command-line")))
            raise UsageError(
                f"'{quoted(shown)}' may change the guest or its QEMU, and was not sent: say"
                " --write if that is meant",
                command=command,
            )

    def execute(self, command: str, words: list[str]) -> tuple[dict[str, object], object]:
        """Read the arguments, check them, give the command: (arguments, what QEMU returned).

        Raises:
            UsageError: nothing was sent, and why.
            CommandError: QEMU refused it, or did not answer.
        """
        from ganeti_hv_kvm.cli.qmp import arguments

        deadline = time.monotonic() + self._seconds
        with self._open() as monitor:
            schema = self._schema_through(monitor, deadline)
            try:
                given = arguments.read(schema, command, words)
            except UnfitError as err:
                raise UsageError(f"{quoted(str(err))}; nothing was sent", command=command) from err
            self.check_allowed(command, given)
            return given, self._give(monitor, command, given, deadline)

    def human(self, line: str) -> str:
        """Give a command of the human monitor, and return the text that it prints.

        Raises:
            UsageError: nothing was sent, and why.
            CommandError: QEMU did not answer.
        """
        given = {"command-line": line}
        self.check_allowed(HUMAN, given)
        deadline = time.monotonic() + self._seconds
        with self._open() as monitor:
            return str(self._give(monitor, HUMAN, given, deadline))

    def _open(self) -> QmpConnection:
        from ganeti_hv_kvm import QmpConnection, QmpError

        monitor = QmpConnection(self._guest.qmp, self._seconds)
        try:
            monitor.connect(discover=False)
        except QmpError as err:
            raise failed(self._guest, err) from err
        return monitor

    def _schema_through(self, monitor: QmpConnection, deadline: float) -> Schema:
        # A guest that was started again may be of another QEMU.
        if self._schema is None or self._schema_of != monitor.peer_pid:
            told = self._give(monitor, "query-qmp-schema", {}, deadline)
            try:
                self._schema = Schema(told)
            except UnfitError as err:
                raise CommandError(f"{self.name}: {err}") from err
            self._schema_of = monitor.peer_pid
        return self._schema

    def _give(
        self, monitor: QmpConnection, command: str, given: Mapping[str, object], deadline: float
    ) -> object:
        from ganeti_hv_kvm import QmpError

        left = max(0.001, deadline - time.monotonic())
        try:
            return monitor.execute_qmp(command, given or None, timeout=left)
        except QmpError as err:
            raise failed(self._guest, err) from err


def failed(guest: LocalGuest, err: Exception) -> CommandError:
    """Say what came of a call to a monitor, with the next command where there is one."""
    from ganeti_hv_kvm import QmpRefusedError

    facts = {
        name: value
        for name in ("command", "sent", "seconds", "peer_pid", "peer_state")
        if (value := getattr(err, name, None)) is not None
    }
    told = masking.text(str(err))
    if isinstance(err, QmpRefusedError):
        facts |= {"class": err.error_class, "desc": masking.text(err.desc)}
        return CommandError(f"QEMU of {quoted(guest.name)} refused: {quoted(told)}", **facts)
    return CommandError(
        f"{quoted(guest.name)}: {quoted(told)} (more: ganeti-hv-kvm why {quoted(guest.name)})",
        **facts,
    )
