"""The guest as a whole: what it does, its power button, its balloon; QEMU's objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ganeti_hv_kvm.qmp_values import run_state
from ganeti_hv_kvm.qmp_values.run_state import RunState

if TYPE_CHECKING:
    from ganeti_hv_kvm._native import QmpConnection
    from ganeti_hv_kvm.qmp_values.replies import (
        BalloonInfo,
        CommandInfo,
        CpuInfo,
        MemoryBackend,
        ObjectProperty,
        SchemaInfo,
    )

#: Before QEMU 4.1 a file that is opened for writing only when needed is not in the schema.
_SILENT_ABOUT_AUTO_READ_ONLY = (4, 0)


def query_status(qmp: QmpConnection) -> RunState:
    """Ask what the guest does."""
    return run_state.ask(qmp)


def stop(qmp: QmpConnection) -> None:
    """Pause the guest."""
    qmp.execute_qmp("stop")


def cont(qmp: QmpConnection) -> None:
    """Let a paused guest go on."""
    qmp.execute_qmp("cont")


def system_powerdown(qmp: QmpConnection) -> None:
    """Press the guest's power button."""
    qmp.execute_qmp("system_powerdown")


def system_wakeup(qmp: QmpConnection) -> None:
    """Wake a guest that sleeps."""
    qmp.execute_qmp("system_wakeup")


def set_password(qmp: QmpConnection, protocol: str, password: str) -> None:
    """Set the password that clients of "vnc" or "spice" must give."""
    qmp.execute_qmp("set_password", {"protocol": protocol, "password": password})


def balloon(qmp: QmpConnection, size: int) -> None:
    """Ask the guest to use so many bytes; it follows in its own time."""
    qmp.execute_qmp("balloon", {"value": size})


def query_balloon(qmp: QmpConnection) -> int:
    """Ask how many bytes the guest has, but for those that were added while it runs."""
    answer: BalloonInfo = qmp.execute_qmp("query-balloon")
    return int(answer["actual"])


def query_cpus_fast(qmp: QmpConnection) -> list[CpuInfo]:
    """Ask for the vCPUs; the guest is not interrupted for it."""
    answer: list[CpuInfo] = qmp.execute_qmp("query-cpus-fast")
    return answer


def query_memdev(qmp: QmpConnection) -> list[MemoryBackend]:
    """Ask for what is behind the guest's memory."""
    answer: list[MemoryBackend] = qmp.execute_qmp("query-memdev")
    return answer


def human_monitor_command(qmp: QmpConnection, command: str, *, timeout: float | None = None) -> str:
    """Give a command of the human monitor (HMP), and tell what it prints.

    HMP has no error replies: whether it worked is for the caller to read out of the text.

    Args:
        timeout: seconds; None for the connection's own.
    """
    arguments = {"command-line": command}
    return str(qmp.execute_qmp("human-monitor-command", arguments, timeout=timeout))


def known_commands(qmp: QmpConnection) -> frozenset[str]:
    """Give the names of QEMU's commands; it is asked unless the connection knows them."""
    if qmp.supported_commands is not None:
        return qmp.supported_commands
    answer: list[CommandInfo] = qmp.execute_qmp("query-commands")
    return frozenset(entry["name"] for entry in answer)


def has_dynamic_auto_read_only(qmp: QmpConnection) -> bool:
    """Tell whether QEMU opens a file for writing only once a device writes (4.0 and later)."""
    if qmp.version is not None and qmp.version[:2] == _SILENT_ABOUT_AUTO_READ_ONLY:
        return True
    schema: list[SchemaInfo] = qmp.execute_qmp("query-qmp-schema")
    return any("dynamic-auto-read-only" in entry.get("features", ()) for entry in schema)


def qom_list(qmp: QmpConnection, path: str) -> list[ObjectProperty]:
    """Ask for the properties of an object, and the objects below it."""
    answer: list[ObjectProperty] = qmp.execute_qmp("qom-list", {"path": path})
    return answer


def qom_get(qmp: QmpConnection, path: str, name: str) -> object:
    """Ask for the value of a property, of whatever type."""
    value: object = qmp.execute_qmp("qom-get", {"path": path, "property": name})
    return value


def qom_set(qmp: QmpConnection, path: str, name: str, value: object) -> None:
    """Set a property."""
    qmp.execute_qmp("qom-set", {"path": path, "property": name, "value": value})


def object_add(qmp: QmpConnection, kind: str, name: str, properties: Mapping[str, object]) -> None:
    """Make an object of a type of QEMU's (``qom-type``)."""
    qmp.execute_qmp("object-add", {"qom-type": kind, "id": name, **properties})


def object_del(qmp: QmpConnection, name: str) -> None:
    """Remove an object that ``object_add`` made."""
    qmp.execute_qmp("object-del", {"id": name})
