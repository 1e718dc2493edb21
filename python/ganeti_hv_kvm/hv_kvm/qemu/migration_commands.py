"""What Ganeti tells QEMU about migration, as methods of ``monitor.QmpConnection``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

#: Before it, QEMU had one bandwidth for both phases.
_POSTCOPY_BANDWIDTH_SINCE = (3, 0, 0)


def tcp_uri(address: str, port: int | str) -> str:
    """Where a migration goes to or comes in, in QEMU's words; IPv6 without brackets."""
    host = f"[{address}]" if ":" in address else address
    return f"tcp:{host}:{port}"


class MigrationCommands:
    """Mixed into the connection; each method raises ``errors.HypervisorError``."""

    if TYPE_CHECKING:

        @property
        def version(self) -> tuple[int, int, int] | None:
            """QEMU's version."""

        def _open(self) -> AbstractContextManager[None]: ...
        def _give(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any: ...

    def SetMigrationParameters(self, max_bandwidth: int, downtime_limit: int) -> None:
        """Limit the migrations to come.

        Args:
            max_bandwidth: bytes a second; 0 is no limit.
            downtime_limit: milliseconds that the guest may stand still in the end.
        """
        parameters = {"max-bandwidth": max_bandwidth, "downtime-limit": downtime_limit}
        with self._open():
            if (self.version or _POSTCOPY_BANDWIDTH_SINCE) >= _POSTCOPY_BANDWIDTH_SINCE:
                parameters["max-postcopy-bandwidth"] = max_bandwidth
            self._give("migrate-set-parameters", parameters)

    def SetMigrationCapabilities(self, capabilities: Iterable[str], state: bool) -> None:
        """Switch capabilities of migration on or off; QEMU takes all of them or none."""
        wanted = [{"capability": name, "state": state} for name in capabilities]
        self._give("migrate-set-capabilities", {"capabilities": wanted})

    def StartMigration(self, target: str, port: int | str) -> None:
        """Begin to send the guest; how it goes on is for ``GetMigrationStatus`` to say.

        Args:
            target: host name or address, IPv6 without brackets.
            port: TCP port that the other QEMU listens on.
        """
        self._give("migrate", {"uri": tcp_uri(target, port)})

    def StartPostcopyMigration(self) -> None:
        """Let the guest run on the target now, and fetch the rest of its memory from here."""
        self._give("migrate-start-postcopy")

    def SetMigrationDowntime(self, downtime_limit: int) -> None:
        """Let the guest stand still for so many milliseconds in the end, also of one under way."""
        self._give("migrate-set-parameters", {"downtime-limit": downtime_limit})

    def CancelMigration(self) -> None:
        """Give a migration up: the guest stays here. Without one that is under way, do nothing."""
        self._give("migrate_cancel")

    def GetMigrationStatus(self) -> dict[str, Any]:
        """The answer of query-migrate; {} if this QEMU never migrated."""
        answer: dict[str, Any] = self._give("query-migrate")
        return answer
