"""A monitor that answers everything by a reply of a chosen size, as fast as a socket takes it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from oracle.stand_in import GREETING

#: What is given in the reply, again and again.
ITEM = b'{"name": "dynamic-auto-read-only", "meta-type": "builtin", "members": [1, null, true]}, '


class SizedMonitor:
    """Listens at ``path`` until it is closed."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._value = b"{}"
        threading.Thread(target=self._serve, daemon=True).start()

    def set_size(self, size: int) -> None:
        """Makes the replies about so many bytes long."""
        self._value = b"[" + (ITEM * max(1, size // len(ITEM)))[:-2] + b"]"

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connected, _ = self._listener.accept()
            except OSError:
                return
            with connected:
                connected.sendall(json.dumps(GREETING).encode() + b"\r\n")
                try:
                    for command in _commands(connected):
                        connected.sendall(self._answer(command))
                except OSError:
                    pass

    def _answer(self, command: dict[str, object]) -> bytes:
        value = self._value
        if command["execute"] == "query-commands":
            value = b'[{"name": "query-status"}]'
        elif command["execute"] == "qmp_capabilities":
            value = b"{}"
        tail = b', "id": ' + json.dumps(command["id"]).encode() if "id" in command else b""
        return b'{"return": ' + value + tail + b"}\r\n"


def _commands(connected: socket.socket) -> Iterator[dict[str, object]]:
    """What a client says; not all of them end their lines."""
    decoder, text = json.JSONDecoder(), ""
    while received := connected.recv(1 << 12):
        text = (text + received.decode()).lstrip()
        while text:
            try:
                command, end = decoder.raw_decode(text)
            except json.JSONDecodeError:
                break
            text = text[end:].lstrip()
            yield command
