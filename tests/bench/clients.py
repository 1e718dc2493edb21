"""Every QMP client in one form: connect, give a command, close."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any, Protocol

FLOOR = "bare socket"
OURS = "ours"
OURS_INNER = "ours, operations"
GANETI = {"3.0": "Ganeti 3.0.2", "3.1": "Ganeti 3.1"}
QEMU_QMP = "qemu.qmp"
QMP = "qmp"
_LINE_END = ord("\n")


class Client(Protocol):
    """What is measured."""

    def connect(self) -> None: ...
    def execute(self, command: str) -> Any: ...
    def close(self) -> None: ...


def line(command: str, number: int) -> bytes:
    """A command as ours sends it: the first one of a connection has an id of four characters.

    QEMU reads byte by byte: a floor that sent less would be one of another protocol.
    """
    command_id = number if number else '"aaaa"'
    return f'{{"execute":"{command}","id":{command_id}}}\n'.encode()


class Bare:
    """No more than the socket calls and bytes that it takes: what a client can be close to.

    One send and one receive into a buffer that is there already; nothing is looked at but the end
    of the line.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._buffer = bytearray(1 << 18)
        self._number = 0

    def connect(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(self._path)
        self._number = 0
        self._read_line()
        self.execute("qmp_capabilities")

    def execute(self, command: str) -> memoryview:
        self._socket.send(line(command, self._number))
        self._number = self._number % 99 + 1
        return self._read_line()

    def _read_line(self) -> memoryview:
        count = self._socket.recv_into(self._buffer)
        while self._buffer[count - 1] != _LINE_END:
            if count == len(self._buffer):
                self._buffer.extend(bytes(count))
            with memoryview(self._buffer)[count:] as rest:
                count += self._socket.recv_into(rest)
        return memoryview(self._buffer)[:count]

    def close(self) -> None:
        self._socket.close()


class Ganetis:
    """Ganeti's QmpConnection, the original's or ours."""

    def __init__(self, path: str, make: Callable[[str], Any], method: str) -> None:
        self._path = path
        self._make = make
        self._method = method

    def connect(self) -> None:
        self._qmp = self._make(self._path)
        self._qmp.connect()
        self.execute: Callable[[str], Any] = getattr(self._qmp, self._method)

    def close(self) -> None:
        # 3.0 has no way to close but to forget
        if hasattr(self._qmp, "close"):
            self._qmp.close()
        else:
            self._qmp.sock.close()


class QemuQmp:
    """QEMU's own asyncio library, driven from synchronous code as its documentation shows."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._loop = asyncio.new_event_loop()

    def connect(self) -> None:
        from qemu.qmp import QMPClient

        self._qmp = QMPClient("bench")
        self._loop.run_until_complete(self._qmp.connect(self._path))

    def execute(self, command: str) -> Any:
        return self._loop.run_until_complete(self._qmp.execute(command))

    def close(self) -> None:
        self._loop.run_until_complete(self._qmp.disconnect())


class PypiQmp:
    """The small synchronous package, once QEMU's own."""

    def __init__(self, path: str) -> None:
        self._path = path

    def connect(self) -> None:
        import qmp

        self._qmp = qmp.QEMUMonitorProtocol(self._path)
        self._qmp.connect()

    def execute(self, command: str) -> Any:
        return self._qmp.cmd(command)["return"]

    def close(self) -> None:
        self._qmp.close()


def make(subject: str, path: str) -> Client:
    """The client that goes by this name; Ganeti's modules have been chosen before."""
    if subject == FLOOR:
        return Bare(path)
    if subject == QEMU_QMP:
        return QemuQmp(path)
    if subject == QMP:
        return PypiQmp(path)
    from ganeti.hypervisor import hv_kvm

    if subject == OURS_INNER:
        quick = hv_kvm.monitor.without_discovery(hv_kvm.QmpConnection)
        return Ganetis(path, quick, "execute_qmp")
    method = "execute_qmp" if hasattr(hv_kvm.QmpConnection, "execute_qmp") else "Execute"
    return Ganetis(path, hv_kvm.QmpConnection, method)


def check(client: Client) -> None:
    """That it does what is measured."""
    client.connect()
    answer = client.execute("query-status")
    if isinstance(answer, memoryview):
        answer = json.loads(bytes(answer))["return"]
    client.close()
    if "status" not in answer:
        raise RuntimeError(f"{client} gave {answer!r}")
