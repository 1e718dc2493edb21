"""QEMUs that lie where Ganeti's instances lie, but have nothing to run: many fit on a machine."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import paths

#: Only a monitor, or a whole PC that waits before its first instruction.
NONE = ("-machine", "none", "-smp", "1")
PC = ("-machine", "pc,accel=tcg", "-smp", "2", "-S", "-device", "virtio-balloon-pci")

#: Of a guest without disks and NICs.
RUNTIME = '[["/usr/bin/qemu-system-x86_64"], [], {}, []]'

#: MiB, as on the command line.
MEMORY = 16

_STARTED_AT_ONCE = 16
_STATE = 0
_AMPLE = 60.0


@dataclass(frozen=True)
class IdleGuest:
    """One of them, with the paths of its instance."""

    name: str
    process: subprocess.Popen[bytes]
    qmp: Path
    pidfile: Path
    runtime: Path

    def is_listening(self) -> bool:
        """A socket has its path some time before anybody can connect."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_AMPLE)
            return probe.connect_ex(str(self.qmp)) == 0 and probe.recv(4096) != b""

    def stop(self) -> None:
        """Stops the process, so that it answers nobody."""
        self.process.send_signal(signal.SIGSTOP)
        stat = Path(f"/proc/{self.process.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[_STATE] != "T":
            time.sleep(0.005)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def running(
    run_folder: Path, count: int, *, machine: Iterable[str] = NONE, prefix: str = "idle"
) -> Iterator[list[IdleGuest]]:
    """``count`` guests below Ganeti's run folder for KVM; they and their files go afterwards."""
    guests: list[IdleGuest] = []
    try:
        for number in range(count):
            guests.append(_start(run_folder, f"{prefix}{number}.example.com", machine))
            if number % _STARTED_AT_ONCE == _STARTED_AT_ONCE - 1:
                _wait_for(guests[-_STARTED_AT_ONCE:])
        _wait_for(guests)
        yield guests
    finally:
        for guest in guests:
            guest.process.kill()
        for guest in guests:
            guest.process.wait()
            for path in (guest.qmp, guest.pidfile, guest.runtime):
                path.unlink(missing_ok=True)


def _start(run_folder: Path, name: str, machine: Iterable[str]) -> IdleGuest:
    for folder in ("pid", "ctrl", "conf"):
        (run_folder / folder).mkdir(parents=True, exist_ok=True)
    qmp = run_folder / "ctrl" / f"{name}.qmp"
    pidfile, runtime = run_folder / "pid" / name, run_folder / "conf" / f"{name}.runtime"
    argv = [str(paths.QEMU), "-name", name, "-m", str(MEMORY), *machine]
    argv += ["-nodefaults", "-display", "none", "-qmp", f"unix:{qmp},server=on,wait=off"]
    # QEMU locks it, and is known by that.
    argv += ["-pidfile", str(pidfile)]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    runtime.write_text(RUNTIME)
    return IdleGuest(name, process, qmp, pidfile, runtime)


def _wait_for(guests: Iterable[IdleGuest]) -> None:
    limit = time.monotonic() + _AMPLE
    for guest in guests:
        while not guest.is_listening():
            assert guest.process.poll() is None, f"{guest.name} ended"
            assert time.monotonic() < limit, f"{guest.name} does not listen"
            time.sleep(0.01)
