"""Monitors to talk to: a stand-in that misbehaves as told, and a real QEMU."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ganeti_hv_kvm._native import QmpConnection
from harness import paths
from oracle.stand_in import Peer, StandIn

#: Long for whatever should not take long at all, in seconds.
AMPLE = 30.0


def linger(peer: Peer) -> None:
    """Keeps the connection open, and reads on, until the client goes away."""
    while True:
        peer.command()


@pytest.fixture
def stand_in(tmp_path: Path) -> Callable[..., Path]:
    """Starts a stand-in; each of its connections is served by one of the functions given."""

    def start(*behaviours: Callable[[Peer], None]) -> Path:
        path = tmp_path / "stand-in"
        StandIn(path, *behaviours)
        return path

    return start


@pytest.fixture
def connected(stand_in: Callable[..., Path]) -> Iterator[Callable[..., QmpConnection]]:
    """A connection to a stand-in that has negotiated, and now does what it is told."""
    made = []

    def connect(behave: Callable[[Peer], None] = linger, **options: object) -> QmpConnection:
        def negotiate_first(peer: Peer) -> None:
            peer.negotiate()
            behave(peer)

        connection = QmpConnection(stand_in(negotiate_first), **{"timeout": AMPLE, **options})
        made.append(connection)
        connection.connect()
        return connection

    yield connect
    for connection in made:
        connection.close()


class Qemu:
    """A QEMU without a machine: a monitor and little else."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "qemu"
        self.start()

    def start(self) -> None:
        self.path.unlink(missing_ok=True)
        argv = [str(paths.QEMU), "-machine", "none", "-display", "none"]
        argv += ["-qmp", f"unix:{self.path},server=on,wait=off"]
        self.process = subprocess.Popen(argv)
        limit = time.monotonic() + AMPLE
        while not self._listens():
            assert self.process.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.01)

    def _listens(self) -> bool:
        """A socket has its path some time before anybody can connect."""
        table = Path("/proc/net/unix").read_text().splitlines()
        return any(
            line.endswith(f" {self.path}") and line.split()[3] == "00010000" for line in table
        )

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        while Path(f"/proc/{self.process.pid}/stat").read_text().split(") ")[1][0] != "T":
            time.sleep(0.01)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def qemu(tmp_path: Path) -> Iterator[Qemu]:
    started = Qemu(tmp_path)
    yield started
    started.end()
