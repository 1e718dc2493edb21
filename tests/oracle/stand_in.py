"""A stand-in for QEMU's monitor on a real socket, for what real QEMU cannot be made to do.

It speaks proper QMP (echoes ids, ends lines with CRLF) until a scenario makes it misbehave.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

GREETING = {
    "QMP": {
        "version": {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""},
        "capabilities": [],
    }
}
_COMMANDS = ("qmp_capabilities", "query-commands", "query-status", "query-name", "set_password")


class Peer:
    """One client's connection, seen from the monitor's side."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self._lines = connected.makefile("rb")

    def send(self, message: Any) -> None:
        self.send_bytes(json.dumps(message).encode() + b"\r\n")

    def send_bytes(self, data: bytes) -> None:
        self.socket.sendall(data)

    def command(self) -> dict[str, Any]:
        """The next command; EOFError when the client has gone."""
        while line := self._lines.readline():
            if line.strip():  # 3.1 sends an empty line after each command
                return dict(json.loads(line))
        raise EOFError

    def answer(self, command: dict[str, Any], value: Any) -> None:
        """Replies as QEMU does: with the command's own id, if it has one."""
        self._reply(command, {"return": value})

    def refuse(self, command: dict[str, Any], error: dict[str, str]) -> None:
        """The same with an error, which has a class and a desc."""
        self._reply(command, {"error": error})

    def _reply(self, command: dict[str, Any], reply: dict[str, Any]) -> None:
        if "id" in command:
            reply["id"] = command["id"]
        self.send(reply)

    def negotiate(self) -> None:
        """Greeting, capabilities, and the list of commands if the client asks for it."""
        self.send(GREETING)
        self.answer(self.command(), {})
        self.answer(self.command(), [{"name": name} for name in _COMMANDS])

    def close(self) -> None:
        self._lines.close()
        self.socket.close()


class StandIn:
    """Listens at ``path``; each connection in turn is handed to the next of ``behaviours``."""

    def __init__(self, path: Path, *behaviours: Callable[[Peer], None]) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(5)
        self.finished = threading.Event()
        thread = threading.Thread(target=self._serve, args=(behaviours,), daemon=True)
        thread.start()

    def _serve(self, behaviours: tuple[Callable[[Peer], None], ...]) -> None:
        for behave in behaviours:
            connected, _ = self._listener.accept()
            peer = Peer(connected)
            try:
                behave(peer)
            except (EOFError, OSError):  # the client went away: its right
                pass
            finally:
                peer.close()
        self._listener.close()
        self.finished.set()
