"""The wire between two nodes: what is sent over it is carried on, and kept to be looked through."""

from __future__ import annotations

import contextlib
import socket
import threading

from .closing import Closing

#: Where the source finds the wire; the target itself listens elsewhere.
NEAR_END, FAR_END = "127.0.0.2", "127.0.0.1"
_CHUNK = 1 << 16


class Wire(Closing):
    """Carries connections, as many as come, from each port of one address to that of another."""

    def __init__(self, *ports: int) -> None:
        self._held = threading.Event()
        self._seen: dict[int, list[bytearray]] = {port: [] for port in ports}
        self._ends: list[socket.socket] = []
        self._listeners = {port: socket.create_server((NEAR_END, port)) for port in ports}
        for port in ports:
            threading.Thread(target=self._serve, args=(port,), daemon=True).start()

    def close(self) -> None:
        for end in (*self._listeners.values(), *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def hold(self) -> None:
        """From now on nothing arrives, and nobody learns of it: a cable that was pulled."""
        self._held.set()

    def carried(self, port: int) -> int:
        """Bytes that went over the connections of a port, both ways."""
        return sum(map(len, self._seen[port]))

    def connections(self, port: int) -> int:
        """How many of them carried anything."""
        return sum(map(bool, self._seen[port][::2]))

    def has(self, text: bytes) -> bool:
        """Whether somebody who listens would have found the text."""
        return any(text in seen for all_seen in self._seen.values() for seen in all_seen)

    def _serve(self, port: int) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listeners[port].accept()
                self._ends.append(near)
                if self._held.is_set():
                    continue
                far = socket.create_connection((FAR_END, port))
                self._ends.append(far)
                for one, other in ((near, far), (far, near)):
                    kept = bytearray()
                    self._seen[port].append(kept)
                    carry = threading.Thread(target=self._carry, args=(one, other, kept))
                    carry.daemon = True
                    carry.start()

    def _carry(self, one: socket.socket, other: socket.socket, kept: bytearray) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(_CHUNK):
                if self._held.is_set():
                    return
                kept += data
                other.sendall(data)
        # nor does the other side hear that this one has gone
        if not self._held.is_set():
            with contextlib.suppress(OSError):
                other.shutdown(socket.SHUT_WR)
