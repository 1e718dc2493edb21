"""A monitor on a real socket, behind it no more of a QEMU than its lists of devices and states.

It does what it is told, unless a test has a command refused, or its answer lost.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

from oracle.stand_in import GREETING, Peer

_Arguments = dict[str, Any]
_Handler = Callable[["_Arguments"], Any]
REFUSAL = "not today"


class ScriptedQemu:
    """Serves one client after the other at ``path``, as QEMU does, until ``close()``.

    Attributes:
        devices, storage, netdevs: ids of what it has: block nodes and legacy drives are storage.
        run_state: the answer to query-status.
        migration: the answer to query-migrate.
        obeys: the guest lets go of a device that it is asked for.
        answers: command -> its answer, in place of what is built in; or what gives one.
        told: the commands that are no mere question, with their arguments.
    """

    def __init__(self, path: str, log: list[str]) -> None:
        """``log`` gets the name of each command that is no mere question."""
        self.devices: set[str] = set()
        self.storage: dict[str, str] = {}
        self.netdevs: set[str] = set()
        self.objects: set[str] = set()
        self.run_state = "prelaunch"
        self.migration: dict[str, Any] = {}
        self.obeys = True
        self.answers: dict[str, Any] = {}
        self.told: list[tuple[str, _Arguments]] = []
        self._log = log
        self._refused: dict[str, int] = {}
        self._lost: dict[str, int] = {}
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(5)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def refuse(self, command: str, times: int = 1) -> None:
        """The next ``times`` such commands get an error, and are not carried out."""
        self._refused[command] = times

    def lose(self, command: str, times: int = 1) -> None:
        """The next such commands are carried out; their clients lose the connection."""
        self._lost[command] = times

    def names(self) -> list[str]:
        """Of the commands that were no mere questions."""
        return [name for name, _ in self.told]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connected, _ = self._listener.accept()
                peer = Peer(connected)
                with contextlib.suppress(EOFError, OSError):
                    peer.send(GREETING)
                    while self._carry_out(peer, peer.command()):
                        pass
                peer.close()

    def _carry_out(self, peer: Peer, command: dict[str, Any]) -> bool:
        """Whether the connection stays."""
        name, arguments = command["execute"], command.get("arguments") or {}
        if name != "qmp_capabilities" and not name.startswith(("query-", "qom-")):
            self.told.append((name, arguments))
            self._log.append(name)
        if self._count(self._refused, name):
            peer.refuse(command, {"class": "GenericError", "desc": REFUSAL})
            return True
        try:
            value, events = self._do(name, arguments)
        except LookupError as err:
            peer.refuse(command, {"class": "GenericError", "desc": str(err.args[0])})
            return True
        if self._count(self._lost, name):
            return False
        peer.answer(command, value)
        for event in events:
            peer.send(event)
        return True

    @staticmethod
    def _count(planned: dict[str, int], name: str) -> bool:
        is_due = planned.get(name, 0) > 0
        if is_due:
            planned[name] -= 1
        return is_due

    def _do(self, name: str, arguments: _Arguments) -> tuple[Any, list[dict[str, Any]]]:
        if name in self.answers:
            given = self.answers[name]
            return (given(arguments) if callable(given) else given), []
        if name == "device_del":
            return {}, self._delete(arguments["id"])
        handler = getattr(self, "_on_" + name.replace("-", "_"), None)
        return (handler(arguments) if handler else {}), []

    def _delete(self, device: str) -> list[dict[str, Any]]:
        if device not in self.devices:
            raise LookupError(f"Device '{device}' not found")
        if self.obeys:
            self.devices.remove(device)
            if self.storage.get(device) == "drive":
                del self.storage[device]
        name = "DEVICE_DELETED" if self.obeys else "DEVICE_UNPLUG_GUEST_ERROR"
        data = {"device": device, "path": f"/machine/peripheral/{device}"}
        return [{"event": name, "data": data, "timestamp": {"seconds": 1, "microseconds": 0}}]

    # Devices

    def _on_qom_list(self, arguments: _Arguments) -> Any:
        ids = self.objects if arguments["path"] == "/objects" else self.devices
        return [{"name": one, "type": "child<any>"} for one in sorted(ids)]

    def _on_query_pci(self, _arguments: _Arguments) -> Any:
        return [{"bus": 0, "devices": []}]

    def _on_query_block(self, _arguments: _Arguments) -> Any:
        drives = [one for one, kind in self.storage.items() if kind == "drive"]
        return [
            {"device": one, "qdev": f"/machine/peripheral/{one}" if one in self.devices else ""}
            for one in drives
        ]

    def _on_query_named_block_nodes(self, _arguments: _Arguments) -> Any:
        return [{"node-name": one} for one, kind in self.storage.items() if kind == "node"]

    def _on_query_fdsets(self, _arguments: _Arguments) -> Any:
        return []

    def _on_query_iothreads(self, _arguments: _Arguments) -> Any:
        return []

    def _on_query_hotpluggable_cpus(self, _arguments: _Arguments) -> Any:
        return []

    def _on_query_commands(self, _arguments: _Arguments) -> Any:
        return [{"name": one} for one in ("add-fd", "blockdev-add", "device_add", "netdev_add")]

    def _on_add_fd(self, _arguments: _Arguments) -> Any:
        return {"fdset-id": 1, "fd": 9}

    def _on_device_add(self, arguments: _Arguments) -> Any:
        if arguments["id"] in self.devices:
            raise LookupError(f"Duplicate ID '{arguments['id']}' for device")
        self.devices.add(arguments["id"])
        return {}

    def _on_blockdev_add(self, arguments: _Arguments) -> Any:
        self.storage[arguments["node-name"]] = "node"
        return {}

    def _on_blockdev_del(self, arguments: _Arguments) -> Any:
        if arguments["node-name"] in self.devices:
            raise LookupError("Node is in use")
        del self.storage[arguments["node-name"]]
        return {}

    def _on_human_monitor_command(self, arguments: _Arguments) -> Any:
        word, _, rest = arguments["command-line"].partition(" ")
        if word == "drive_del":
            del self.storage[rest]
            return ""
        words = dict(part.split("=", 1) for part in rest.split('"')[1].split(","))
        self.storage[words["id"]] = "drive"
        return "OK\r\n"

    def _on_netdev_add(self, arguments: _Arguments) -> Any:
        if arguments["id"] in self.netdevs:
            raise LookupError(f"Duplicate ID '{arguments['id']}' for netdev")
        self.netdevs.add(arguments["id"])
        return {}

    def _on_netdev_del(self, arguments: _Arguments) -> Any:
        if arguments["id"] not in self.netdevs:
            raise LookupError(f"Device '{arguments['id']}' not found")
        self.netdevs.remove(arguments["id"])
        return {}

    def _on_closefd(self, arguments: _Arguments) -> Any:
        raise LookupError(f"File descriptor named '{arguments['fdname']}' not found")

    # What the guest does

    def _on_query_status(self, _arguments: _Arguments) -> Any:
        return {"status": self.run_state, "running": self.run_state == "running"}

    def _on_query_migrate(self, _arguments: _Arguments) -> Any:
        return self.migration

    def _on_cont(self, _arguments: _Arguments) -> Any:
        self.run_state = "running"
        return {}

    def _on_stop(self, _arguments: _Arguments) -> Any:
        if self.run_state == "running":
            self.run_state = "paused"
        return {}

    def _on_migrate(self, _arguments: _Arguments) -> Any:
        self.migration = {"status": "active"}
        return {}

    def _on_migrate_cancel(self, _arguments: _Arguments) -> Any:
        self.migration = {"status": "cancelled"}
        return {}

    def _on_qom_get(self, _arguments: _Arguments) -> Any:
        return "pc-i440fx-7.2-machine"

    def _on_query_migrate_capabilities(self, _arguments: _Arguments) -> Any:
        return []
