"""Real guests for scenarios: started by the module under test, watched from outside it."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness import console, guest, instance, leftovers, node
from harness.closing import Closing

from .place import Place, is_alive, kill

NAME = "one.example.com"
BOOT_TIMEOUT = 90.0


def start(place: Place, made: Any = None, *, paused: bool = True) -> Any:
    """Starts an instance (by default a small one that stays paused: it needs no CPU time)."""
    made = made or instance.instance(NAME)
    place.node.hypervisor().StartInstance(made, [], paused)
    return made


def pid_of(place: Place, name: str = NAME) -> int:
    """The process id in the instance's pid file."""
    return int((place.node.run_folder / "pid" / name).read_text())


@contextmanager
def hung(*pids: int) -> Iterator[None]:
    """The processes answer nothing: stopped by a signal, as good as a host out of memory."""
    for pid in pids:
        kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in filter(is_alive, pids):
            kill(pid, signal.SIGCONT)


def wait_until_up(place: Place, name: str = NAME) -> None:
    """Returns when Linux runs in the guest."""
    with console.SerialConsole(place.node.socket(name, "serial")) as serial:
        serial.wait_for(guest.STATUS_LINE.search, BOOT_TIMEOUT)


def bridged_nic() -> Any:
    """A NIC, and the bridge that it needs."""
    node.make_bridge()
    return instance.nic()


def look(place: Place) -> leftovers.Snapshot:
    place.node.hypervisor()  # makes the module's own folders
    return leftovers.take(place.node.run_folder)


class RawMonitor(Closing):
    """QMP with nothing of the module under test in it: what QEMU really thinks."""

    def __init__(self, place: Place, name: str = NAME) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(30)
        # The second monitor: the first may be the module's at this moment.
        self._socket.connect(str(place.node.socket(name, "kvmd")))
        self._lines = self._socket.makefile("rb")
        self._lines.readline()
        self.execute("qmp_capabilities")

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def execute(self, command: str, **arguments: Any) -> Any:
        message = {"execute": command, "arguments": arguments}
        self._socket.sendall(json.dumps(message).encode() + b"\n")
        while True:
            reply = json.loads(self._lines.readline())
            if "error" in reply:
                raise RuntimeError(f"{command}: {reply['error']}")
            if "return" in reply:
                return reply["return"]
