"""The QEMU monitor, under the names of Ganeti's ``hv_kvm.monitor``.

The protocol is spoken in Rust. Here are the commands that Ganeti gives, and the log of them.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ganeti_hv_kvm import _native
from ganeti_hv_kvm._native import QmpEvent, QmpMessage, QmpTimestamp
from ganeti_hv_kvm.errors import QmpCommandNotSupported, QmpTimeoutError

from .ganeti import settings
from .qemu.device_commands import DeviceCommands
from .qemu.growth_commands import GrowthCommands
from .qemu.migration_commands import MigrationCommands

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "MonitorSocket",
    "QemuMonitorSocket",
    "QmpCommandNotSupported",
    "QmpConnection",
    "QmpEvent",
    "QmpMessage",
    "QmpTimeoutError",
    "QmpTimestamp",
    "UnixFileSocketConnection",
]

_MIB = 1 << 20
#: Longer replies are cut in the log.
_MOST_LOGGED = 2000

#: Commands without news: part of every connection.
_UNLOGGED = frozenset({"qmp_capabilities", "query-commands"})


class QmpConnection(DeviceCommands, GrowthCommands, MigrationCommands, _native.QmpConnection):
    """A connection to the QMP monitor of one guest.

    Each method that gives a command connects first where that has not been done, and then also
    closes; inside ``with`` the connection is kept. All raise ``errors.HypervisorError``.

    Attributes:
        discovers: ask for the list of QEMU's commands when connecting.
    """

    discovers = True

    def __new__(
        cls,
        monitor_filename: Any,
        timeout: float | None = None,
        *,
        max_message_size: int | None = None,
    ) -> Self:
        """Make a connection; a slip in the environment's time-out costs no look at a guest."""
        seconds = settings.QMP.value() if timeout is None else timeout
        return super().__new__(cls, monitor_filename, seconds, max_message_size=max_message_size)

    def connect(self, *, timeout: float | None = None, discover: bool | None = None) -> None:
        """Connect, unless connected.

        Args:
            timeout: seconds; None for the connection's own.
            discover: ask for the list of commands too; None for what ``discovers`` says.
        """
        super().connect(timeout=timeout, discover=self.discovers if discover is None else discover)

    def _log_command(self, command: str, arguments: str, result: object) -> None:
        if command not in _UNLOGGED:
            # repr: what QEMU said must not end the line
            told = repr(result)
            if len(told) > _MOST_LOGGED:
                told = f"{told[:_MOST_LOGGED]}... ({len(told)} characters)"
            logging.debug("QMP %s %s: %s", command, arguments or "{}", told)

    @contextlib.contextmanager
    def _open(self) -> Iterator[None]:
        was_connected = self.is_connected()
        self.connect()
        try:
            yield
        finally:
            if not was_connected:
                self.close()

    def _give(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        with self._open():
            return self.execute_qmp(command, arguments)

    def GetVersion(self) -> tuple[int, int, int] | None:
        """QEMU's version, as (major, minor, micro)."""
        with self._open():
            return self.version

    def HumanMonitorCommand(self, command: str, *, timeout: float | None = None) -> str:
        """Give a command of the human monitor (HMP) and return the text that it prints.

        HMP has no error replies: whether it worked is for the caller to read out of the text.
        """
        with self._open():
            arguments = {"command-line": command}
            return str(self.execute_qmp("human-monitor-command", arguments, timeout=timeout))

    def GetCpuInformation(self) -> list[dict[str, Any]]:
        """What query-cpus-fast tells of each vCPU; the guest is not interrupted for it."""
        answer: list[dict[str, Any]] = self._give("query-cpus-fast")
        return answer

    def SetVNCPassword(self, vnc_pwd: str) -> None:
        """Set the password that VNC clients must give."""
        self._give("set_password", {"protocol": "vnc", "password": vnc_pwd})

    def SetSpicePassword(self, spice_pwd: str) -> None:
        """Set the password (SPICE: ticket) that SPICE clients must give."""
        self._give("set_password", {"protocol": "spice", "password": spice_pwd})

    def SetBalloonMemory(self, memory: int) -> None:
        """Ask the guest to use ``memory`` MiB; it follows in its own time."""
        self._give("balloon", {"value": memory * _MIB})

    def Powerdown(self) -> None:
        """Press the guest's power button."""
        self._give("system_powerdown")

    def StopGuestEmulation(self) -> None:
        """Pause the guest."""
        self._give("stop")

    def ContinueGuestEmulation(self) -> None:
        """Let a paused guest go on."""
        self._give("cont")


def without_discovery(qmp_connection: Callable[[str], Any]) -> Callable[[str], Any]:
    """Make connections that do not ask for the list of commands: it takes longer than most of them.

    A command that QEMU does not know is then refused by QEMU itself.

    Args:
        qmp_connection: makes a connection to the monitor with the path given.
    """

    def connection(path: str) -> Any:
        made = qmp_connection(path)
        made.discovers = False
        return made

    return connection


# Base classes of the originals: MonitorSocket in 3.0, the other two in 3.1. One class does it all.
MonitorSocket = QemuMonitorSocket = UnixFileSocketConnection = _native.QmpConnection
