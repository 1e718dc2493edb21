"""The guest's way from one QEMU to another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, cast

from ganeti_hv_kvm.qmp_values import forms
from ganeti_hv_kvm.qmp_values import migration as answers
from ganeti_hv_kvm.qmp_values.migration import Migration

if TYPE_CHECKING:
    from ganeti_hv_kvm._native import QmpConnection
    from ganeti_hv_kvm.qmp_values.replies import MigrationCapability, MigrationInfo

#: Before it, QEMU had one bandwidth for both phases.
_POSTCOPY_BANDWIDTH_SINCE = (3, 0, 0)


def tcp_uri(address: str, port: int | str) -> str:
    """Where a migration goes to or comes in, in QEMU's words; IPv6 without brackets."""
    host = f"[{address}]" if ":" in address else address
    return f"tcp:{host}:{port}"


def limit(qmp: QmpConnection, max_bandwidth: int, downtime_limit: int) -> None:
    """Limit the migrations to come.

    Args:
        max_bandwidth: bytes a second; 0 is no limit.
        downtime_limit: milliseconds that the guest may stand still in the end.
    """
    parameters = {"max-bandwidth": max_bandwidth, "downtime-limit": downtime_limit}
    if (qmp.version or _POSTCOPY_BANDWIDTH_SINCE) >= _POSTCOPY_BANDWIDTH_SINCE:
        parameters["max-postcopy-bandwidth"] = max_bandwidth
    migrate_set_parameters(qmp, parameters)


def limit_downtime(qmp: QmpConnection, milliseconds: int) -> None:
    """Let the guest stand still for so long in the end, also of a migration under way."""
    migrate_set_parameters(qmp, {"downtime-limit": milliseconds})


def migrate_set_parameters(qmp: QmpConnection, parameters: Mapping[str, object]) -> None:
    """Set parameters by QEMU's names; the others stay."""
    qmp.execute_qmp("migrate-set-parameters", parameters)


def migrate_set_capabilities(qmp: QmpConnection, names: Iterable[str], state: bool) -> None:
    """Switch capabilities on or off; QEMU takes all of them or none."""
    wanted = [{"capability": name, "state": state} for name in names]
    qmp.execute_qmp("migrate-set-capabilities", {"capabilities": wanted})


def query_migrate_capabilities(qmp: QmpConnection) -> list[MigrationCapability]:
    """Ask which capabilities are on."""
    command = "query-migrate-capabilities"
    answer = forms.named(command, qmp.execute_qmp(command), "capability")
    return cast("list[MigrationCapability]", answer)


def migrate(qmp: QmpConnection, target: str, port: int | str) -> None:
    """Begin to send the guest; how it goes on is for ``query_migrate`` to say.

    Args:
        target: host name or address, IPv6 without brackets.
        port: TCP port that the other QEMU listens on.
    """
    qmp.execute_qmp("migrate", {"uri": tcp_uri(target, port)})


def migrate_incoming(qmp: QmpConnection, address: str, port: int) -> None:
    """Let a QEMU that waits for this listen for its guest."""
    qmp.execute_qmp("migrate-incoming", {"uri": tcp_uri(address, port)})


def migrate_start_postcopy(qmp: QmpConnection) -> None:
    """Let the guest run on the target now, and fetch the rest of its memory from here."""
    qmp.execute_qmp("migrate-start-postcopy")


def migrate_continue(qmp: QmpConnection, state: str) -> None:
    """Let a migration go on that waits in this state (``pause-before-switchover``)."""
    qmp.execute_qmp("migrate-continue", {"state": state})


def migrate_cancel(qmp: QmpConnection) -> None:
    """Give a migration up: the guest stays here. Without one that is under way, do nothing."""
    qmp.execute_qmp("migrate_cancel")


def migration_info(qmp: QmpConnection) -> MigrationInfo:
    """Give the reply to query-migrate as it is; it is empty if this QEMU never migrated."""
    answer: MigrationInfo = qmp.execute_qmp("query-migrate")
    return answer


def query_migrate(qmp: QmpConnection) -> Migration:
    """Ask how the migration stands; what is told was checked."""
    return answers.read_migration(migration_info(qmp))


def run_state(qmp: QmpConnection) -> str:
    """Ask for QEMU's word for what the guest does; a migration is decided by it."""
    return answers.read_run_state(qmp.execute_qmp("query-status"))
