"""A monitor between a client and the real QEMU that goes wrong where it is told to.

It takes the place of QEMU's own socket: whoever connects there is led through to QEMU, file
descriptors included, until a message meets one of the faults::

    with Proxy(node.socket(name, "qmp")) as proxy:
        proxy.fail(COMMAND, "device_add", refuse("no room"))  # QEMU never sees it
        proxy.fail(REPLY, "blockdev-add", cut)                # QEMU did it; nobody is told
        proxy.fail(EVENT, "DEVICE_DELETED", drop)

As QEMU does, it serves one client at a time.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .closing import Closing

COMMAND, REPLY, EVENT = "command", "reply", "event"
ANY = "*"
#: Part of each new connection, not of what it is made for.
HANDSHAKE = ("qmp_capabilities", "query-commands")

_MAX_FDS = 64
_CHUNK = 1 << 16

Message = dict[str, Any]
#: Says what becomes of a message: it comes on by itself, or not at all.
Action = Callable[["_Connection", Message], "Message | None"]


def drop(_connection: _Connection, _message: Message) -> None:
    """The message is lost; the connection stays."""


def cut(connection: _Connection, _message: Message) -> None:
    """The message is lost, and the connection with it, on both sides."""
    connection.end()


def delay(seconds: float) -> Action:
    """The message, and all that come behind it, come ``seconds`` late."""

    def late(_connection: _Connection, message: Message) -> Message:
        time.sleep(seconds)
        return message

    return late


def refuse(desc: str, error_class: str = "GenericError") -> Action:
    """The client gets an error reply. Of a command QEMU then knows nothing."""

    def reply(connection: _Connection, message: Message) -> Message | None:
        error: Message = {"error": {"class": error_class, "desc": desc}}
        if "id" in message:
            error["id"] = message["id"]
        if "execute" not in message:
            return error
        connection.wait_for_answers()
        connection.to_client(error)
        return None

    return reply


def along_with(act: Callable[[], object]) -> Action:
    """Calls ``act`` when the message comes, and lets it pass."""

    def passed(_connection: _Connection, message: Message) -> Message:
        act()
        return message

    return passed


@dataclass
class Fault:
    """What goes wrong with the messages of one kind and name, so many times."""

    kind: str
    name: str
    action: Action
    times: int = 1
    matching: Callable[[Message], object] = lambda _message: True
    hits: int = 0


@dataclass
class Proxy(Closing):
    """Stands at ``path``, where QEMU's monitor was; QEMU is reached beside it until ``close()``."""

    path: Path
    commands: list[str] = field(default_factory=list)
    """The names of all commands that clients gave, the newest last."""

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self._faults: list[Fault] = []
        self._closed = False
        self._current: _Connection | None = None
        self._real = self.path.with_name(f"{self.path.name}.real")
        self.path.rename(self._real)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(5)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def fail(
        self,
        kind: str,
        name: str,
        action: Action,
        *,
        times: int = 1,
        matching: Callable[[Message], object] = lambda _message: True,
    ) -> Fault:
        """Plans a fault for the next ``times`` messages; ``hits`` of what it returns counts them.

        A reply goes by the name of its command; ``ANY`` is every name but those of the handshake.
        """
        fault = Fault(kind, name, action, times, matching)
        with self.lock:
            self._faults.append(fault)
        return fault

    def heal(self) -> None:
        """No fault is planned any more."""
        with self.lock:
            self._faults.clear()

    def close(self) -> None:
        """Ends the connection and gives QEMU its place back."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        if self._current:
            self._current.end()
        self._thread.join()
        self._listener.close()
        self.path.unlink(missing_ok=True)
        if self._real.exists():  # QEMU lives
            self._real.rename(self.path)

    def action_for(self, kind: str, name: str, message: Message) -> Action | None:
        """The planned fault that this message meets; it counts as met."""
        with self.lock:
            for fault in self._faults:
                is_meant = fault.name == name or (fault.name == ANY and name not in HANDSHAKE)
                if fault.kind != kind or not is_meant:
                    continue
                if fault.hits < fault.times and fault.matching(message):
                    fault.hits += 1
                    return fault.action
        return None

    def _serve(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(str(self._real))
            except OSError:  # QEMU has gone
                client.close()
                server.close()
                continue
            self._current = _Connection(self, client, server)
            self._current.run()


class _Connection:
    """One client, led through to QEMU."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._given: deque[str] = deque()
        self._ended = False

    def run(self) -> None:
        """Returns when either side has gone."""
        back = threading.Thread(target=self._pass_back, daemon=True)
        back.start()
        self._pass_on()
        self.end()
        back.join()
        self._client.close()
        self._server.close()

    def end(self) -> None:
        self._ended = True
        for side in (self._client, self._server):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def wait_for_answers(self) -> None:
        """QEMU answers in order, and a client may give a command before it has the last answer."""
        while self._given and not self._ended:
            time.sleep(0.001)

    def to_client(self, message: Message) -> None:
        with contextlib.suppress(OSError):
            self._client.sendall(json.dumps(message).encode() + b"\r\n")

    def _pass_on(self) -> None:
        rest = b""
        fds: list[int] = []
        try:
            while True:
                data, more, _, _ = socket.recv_fds(self._client, _CHUNK, _MAX_FDS)
                if not data:
                    return
                fds += more
                *lines, rest = (rest + data).split(b"\n")
                for line in filter(bytes.strip, lines):
                    self._command(json.loads(line), fds)
                    _close(fds)
        except OSError:
            return
        finally:
            _close(fds)

    def _command(self, message: Message, fds: Sequence[int]) -> None:
        name = str(message.get("execute"))
        with self._proxy.lock:
            self._proxy.commands.append(name)
        action = self._proxy.action_for(COMMAND, name, message)
        passed = action(self, message) if action else message
        if passed is not None:
            self._given.append(name)
            socket.send_fds(self._server, [json.dumps(passed).encode() + b"\n"], fds)

    def _pass_back(self) -> None:
        try:
            with self._server.makefile("rb") as lines:
                for line in lines:
                    self._answer(json.loads(line))
        except OSError:
            pass
        self.end()

    def _answer(self, message: Message) -> None:
        action, is_reply = None, False
        if "event" in message:
            action = self._proxy.action_for(EVENT, str(message["event"]), message)
        elif "QMP" not in message and self._given:
            # QEMU answers in order; not every client gives its commands an id. What comes before
            # the first command is for an earlier client.
            action = self._proxy.action_for(REPLY, self._given[0], message)
            is_reply = True
        passed = action(self, message) if action else message
        if passed is not None:
            self.to_client(passed)
        if is_reply:
            self._given.popleft()


def _close(fds: list[int]) -> None:
    while fds:
        os.close(fds.pop())
