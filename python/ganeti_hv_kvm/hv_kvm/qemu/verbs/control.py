"""The guest as a whole: what it does, its power button, its balloon; QEMU's objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from ganeti_hv_kvm.qmp_values import forms, run_state
from ganeti_hv_kvm.qmp_values.run_state import RunState

if TYPE_CHECKING:
    from ganeti_hv_kvm._native import QmpConnection
    from ganeti_hv_kvm.qmp_values.replies import (
        CpuInfo,
        MemoryBackend,
        ObjectProperty,
    )

#: Before QEMU 4.1 a file that is opened for writing only when needed is not in the schema.
_SILENT_ABOUT_AUTO_READ_ONLY = (4, 0)
_MOST_BYTES = 1 << 60


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
    command = "query-balloon"
    answer = forms.an_object(command, qmp.execute_qmp(command))
    return forms.a_number(command, answer.get("actual"), _MOST_BYTES)


def query_cpus_fast(qmp: QmpConnection) -> list[CpuInfo]:
    """Ask for the vCPUs; the guest is not interrupted for it."""
    command = "query-cpus-fast"
    return cast("list[CpuInfo]", forms.objects(command, qmp.execute_qmp(command)))


def query_memdev(qmp: QmpConnection) -> list[MemoryBackend]:
    """Ask for what is behind the guest's memory."""
    command = "query-memdev"
    return cast("list[MemoryBackend]", forms.objects(command, qmp.execute_qmp(command)))


def human_monitor_command(qmp: QmpConnection, command: str, *, timeout: float | None = None) -> str:
    """Give a command of the human monitor (HMP), and tell what it prints.

    HMP has no error replies: whether it worked is for the caller to read out of the text.

    Args:
        timeout: seconds; None for the connection's own.
    """
    name, arguments = "human-monitor-command", {"command-line": command}
    return forms.a_text(name, qmp.execute_qmp(name, arguments, timeout=timeout))


def known_commands(qmp: QmpConnection) -> frozenset[str]:
    """Give the names of QEMU's commands; it is asked unless the connection knows them."""
    if qmp.supported_commands is not None:
        return qmp.supported_commands
    command = "query-commands"
    answer = forms.named(command, qmp.execute_qmp(command), "name")
    return frozenset(str(entry["name"]) for entry in answer)


def has_dynamic_auto_read_only(qmp: QmpConnection) -> bool:
    """Tell whether QEMU opens a file for writing only once a device writes (4.0 and later)."""
    if qmp.version is not None and qmp.version[:2] == _SILENT_ABOUT_AUTO_READ_ONLY:
        return True
    command = "query-qmp-schema"
    schema = forms.objects(command, qmp.execute_qmp(command))
    features = (forms.a_list(command, entry.get("features", [])) for entry in schema)
    return any("dynamic-auto-read-only" in one for one in features)


def qom_list(qmp: QmpConnection, path: str) -> list[ObjectProperty]:
    """Ask for the properties of an object, and the objects below it."""
    command = "qom-list"
    answer = forms.named(command, qmp.execute_qmp(command, {"path": path}), "name", "type")
    return cast("list[ObjectProperty]", answer)


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
