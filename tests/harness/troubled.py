"""Real QEMUs of a node, one in each kind of trouble, by its name: ``KINDS``.

What a guest does itself it does in a boot sector: a Linux would take seconds to get there.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from ganeti_hv_kvm import QmpConnection

from . import freezer, idle_guests, lock_holder
from .block_device import file_system
from .idle_guests import IdleGuest

_AMPLE = 60.0
_RUNS = ("-machine", "pc,accel=tcg", "-smp", "2", "-device", "virtio-balloon-pci")

# 16-bit code. PM1a_CNT of QEMU's PC, as its BIOS places it: sleep type 1 is S3.
_SLEEPS = bytes.fromhex("ba0406 b80024 ef ebfe")  # mov dx, 604; mov ax, 2400; out dx, ax; jmp here
# The same, sleep type 0: S5, off.
_SHUTS_DOWN = bytes.fromhex("ba0406 b80020 ef ebfe")
# mov dx, 505; mov al, 1; out dx, al; jmp here: to pvpanic
_PANICS = bytes.fromhex("ba0505 b001 ee ebfe")
# Writes to a sector beyond the first page, for ever: mov ax, 301; mov bx, 7c00; mov cx, 20;
# mov dx, 80; int 13; jmp again
_WRITES = bytes.fromhex("b80103 bb007c b92000 ba8000 cd13 ebf0")

# Writes to 512 KiB of memory, for ever: mov ax, 1000; mov es, ax; xor di, di; mov cx, 8000;
# rep stosw; add ah, 10; cmp ah, 90; jb mov es; jmp again
_WRITES_MEMORY = bytes.fromhex("b80010 8ec0 31ff b90080 f3ab 80c410 80fc90 72ef ebea")


def _disk(path: Path, code: bytes) -> tuple[str, ...]:
    with path.open("wb") as image:
        image.write(code.ljust(510, b"\0") + b"\x55\xaa")
        image.truncate(1 << 20)
    return ("-drive", f"file={path},format=raw,if=ide,id=disk0")


def writes_memory(path: Path) -> tuple[str, ...]:
    """A disk whose guest writes memory all the time; two QEMUs may have it."""
    option, drive = _disk(path, _WRITES_MEMORY)
    return (option, f"{drive},file.locking=off")


@contextmanager
def _guest(run: Path, kind: str, *machine: str) -> Iterator[IdleGuest]:
    with idle_guests.running(run, 1, machine=machine or _RUNS, prefix=kind) as (made,):
        yield made


def monitor(guest: IdleGuest) -> QmpConnection:
    return QmpConnection(guest.qmp, _AMPLE)


def wait_for_state(guest: IdleGuest, state: str) -> None:
    limit = time.monotonic() + _AMPLE
    while True:
        with monitor(guest) as qmp:
            told = qmp.execute_qmp("query-status")["status"]
        if told == state:
            return
        assert time.monotonic() < limit, f"{guest.name} is still {told}"
        time.sleep(0.05)


@contextmanager
def running(run: Path, *machine: str) -> Iterator[IdleGuest]:
    with _guest(run, "running", *_RUNS, *machine) as guest:
        yield guest


@contextmanager
def prelaunch(run: Path) -> Iterator[IdleGuest]:
    with _guest(run, "prelaunch", *idle_guests.PC) as guest:
        yield guest


@contextmanager
def paused(run: Path) -> Iterator[IdleGuest]:
    with _guest(run, "paused") as guest:
        with monitor(guest) as qmp:
            qmp.execute_qmp("stop")
        yield guest


@contextmanager
def io_error(run: Path) -> Iterator[IdleGuest]:
    """Its disk lies on a file system that is full."""
    small = run / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "small", small], check=True)
    try:
        disk = _disk(small / "disk", _WRITES)
        with (small / "rest").open("wb", buffering=0) as rest:
            try:
                while rest.write(bytes(4096)):
                    pass
            except OSError:
                pass
        with _guest(run, "io-error", *_RUNS, *disk) as guest:
            wait_for_state(guest, "io-error")
            yield guest
    finally:
        subprocess.run(["umount", small], check=True)


@contextmanager
def hanging(run: Path) -> Iterator[IdleGuest]:
    """A thread of it waits in the kernel: the file system of its disk stands still."""
    with (
        file_system(run, "disks") as place,
        _guest(run, "hanging", *_RUNS, *_disk(place / "disk", _WRITES)) as guest,
    ):
        subprocess.run(["fsfreeze", "-f", place], check=True)
        try:
            _wait_for_a_thread(guest, "D")
            yield guest
        finally:
            subprocess.run(["fsfreeze", "-u", place], check=False)


def _wait_for_a_thread(guest: IdleGuest, state: str) -> None:
    limit = time.monotonic() + _AMPLE
    folder = Path(f"/proc/{guest.process.pid}/task")
    while not any(
        (thread / "stat").read_text().rpartition(")")[2].split()[0] == state
        for thread in folder.iterdir()
    ):
        assert time.monotonic() < limit, f"no thread of {guest.name} is in state {state}"
        time.sleep(0.01)


@contextmanager
def suspended(run: Path) -> Iterator[IdleGuest]:
    with _guest(run, "suspended", *_RUNS, *_disk(run / "sleeps", _SLEEPS)) as guest:
        wait_for_state(guest, "suspended")
        yield guest


@contextmanager
def shut_down(run: Path) -> Iterator[IdleGuest]:
    """Off, while its QEMU stays."""
    disk = _disk(run / "shuts-down", _SHUTS_DOWN)
    with _guest(run, "shut-down", *_RUNS, "-no-shutdown", *disk) as guest:
        wait_for_state(guest, "shutdown")
        yield guest


@contextmanager
def panicked(run: Path) -> Iterator[IdleGuest]:
    with _guest(
        run, "panicked", *_RUNS, "-device", "pvpanic", "-action", "panic=pause",
        *_disk(run / "panics", _PANICS),
    ) as guest:  # fmt: skip
        wait_for_state(guest, "guest-panicked")
        yield guest


@contextmanager
def stopped(run: Path) -> Iterator[IdleGuest]:
    with _guest(run, "stopped") as guest:
        guest.stop()
        yield guest
        guest.resume()


@contextmanager
def frozen(run: Path) -> Iterator[IdleGuest]:
    with _guest(run, "frozen") as guest, freezer.frozen(guest.process.pid):
        yield guest


@contextmanager
def held(run: Path) -> Iterator[IdleGuest]:
    """This process holds its monitor."""
    with _guest(run, "held") as guest, monitor(guest):
        yield guest


@contextmanager
def gone(run: Path) -> Iterator[IdleGuest]:
    """Killed; its files are left."""
    with _guest(run, "gone") as guest:
        guest.process.kill()
        guest.process.wait()
        yield guest


@contextmanager
def _stand_in(run: Path, kind: str, start: Callable[[Path, Path], AbstractContextManager[int]]):
    for folder in ("pid", "ctrl", "conf"):
        (run / folder).mkdir(parents=True, exist_ok=True)
    name = f"{kind}0.example.com"
    pidfile, qmp = run / "pid" / name, run / "ctrl" / f"{name}.qmp"
    runtime = run / "conf" / f"{name}.runtime"
    runtime.write_text(idle_guests.RUNTIME)
    try:
        with start(pidfile, qmp):
            yield
    finally:
        for path in (pidfile, qmp, runtime):
            path.unlink(missing_ok=True)


@contextmanager
def dying(run: Path) -> Iterator[None]:
    """Its main thread has ended, and a worker has not: as while its disk hangs in the kernel."""

    @contextmanager
    def half_dead(pidfile: Path, qmp: Path) -> Iterator[int]:
        with lock_holder.running(pidfile, qmp, "half-dead") as process:
            lock_holder.wait_for_state(process.pid, "Z")
            yield process.pid

    with _stand_in(run, "dying", half_dead):
        yield


_HOSTILE = r"""
import json, os, socket, sys
pid, path = sys.argv[1:]
import fcntl
lock = open(pid, "w"); fcntl.lockf(lock, fcntl.LOCK_EX); lock.write(str(os.getpid())); lock.flush()
server = socket.socket(socket.AF_UNIX); server.bind(path); server.listen()
print("listens", flush=True)
while True:
    peer, _ = server.accept()
    peer.sendall(b'{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7},'
                 b' "package": ""}, "capabilities": []}}\n')
    try:
        for line in peer.makefile("rb"):
            told = json.loads(line)
            answer = {"status": "x\x1b[2J\nforged: line", "actual": -5e300}
            peer.sendall(json.dumps({"return": answer, "id": told.get("id")}).encode() + b"\n")
    except (OSError, ValueError):
        pass
"""


@contextmanager
def hostile(run: Path) -> Iterator[None]:
    """Speaks QMP, and tells what would move a terminal's cursor."""

    @contextmanager
    def start(pidfile: Path, qmp: Path) -> Iterator[int]:
        argv = [sys.executable, "-c", _HOSTILE, str(pidfile), str(qmp)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == b"listens\n"
                yield process.pid
            finally:
                process.kill()

    with _stand_in(run, "hostile", start):
        yield


KINDS = {
    "running": running,
    "prelaunch": prelaunch,
    "paused": paused,
    "io-error": io_error,
    "suspended": suspended,
    "stopped": stopped,
    "frozen": frozen,
    "held": held,
    "dying": dying,
    "gone": gone,
    "hostile": hostile,
}
#: Not on a node of all of them.
ALONE = {"hanging": hanging, "shut-down": shut_down, "panicked": panicked}


@contextmanager
def node(run: Path, *kinds: str) -> Iterator[None]:
    """A guest of each of these kinds, or of all."""
    with ExitStack() as stack:
        for kind in kinds or KINDS:
            stack.enter_context(KINDS[kind](run))
        yield
