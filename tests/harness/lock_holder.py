"""Processes that are to Ganeti what an instance's QEMU is, and do what QEMU cannot be made to do.

They hold the lock of their pid file, as QEMU does: by that it is known.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_AMPLE = 30.0

_CODE = """
import ctypes, fcntl, os, signal, socket, sys, threading, time
pidfile, monitor, habits = sys.argv[1], sys.argv[2], sys.argv[3].split()
file = open(pidfile, "w")
if "no-lock" not in habits:
    fcntl.lockf(file, fcntl.LOCK_EX)
file.write(f"{os.getpid()}\\n")
file.flush()
if "listens" in habits:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(monitor)
    listener.listen(1)
if "stubborn" in habits:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
writes = [habit for habit in habits if habit.startswith("/")]
def hang():
    time.sleep(0.3)
    with open(writes[0], "wb") as data:
        data.write(b"x" * 4096)
if "half-dead" in habits:
    worker = hang if writes else lambda: time.sleep(600)
    threading.Thread(target=worker).start()
    print(flush=True)
    ctypes.CDLL(None).pthread_exit(None)
print(flush=True)
time.sleep(600)
"""


@contextmanager
def running(
    pidfile: Path, monitor: Path, *habits: str, words: tuple[str, ...] = ()
) -> Iterator[subprocess.Popen[str]]:
    """One of them, ready; it is gone afterwards.

    Args:
        habits: "listens" on its monitor (and is silent), "stubborn" (ignores SIGTERM), "no-lock",
            "half-dead" (its main thread has ended, another has not; that writes to a file if one of
            the habits is a path).
        words: more of its command line.
    """
    pidfile.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", _CODE, str(pidfile), str(monitor), " ".join(habits), *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "\n"
        yield process
    finally:
        process.kill()
        process.wait(_AMPLE)
        process.stdout.close()


def state(pid: int) -> str:
    """The state letter of a process (proc(5)); "" if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


def wait_for_state(pid: int, letters: str) -> None:
    limit = time.monotonic() + _AMPLE
    while state(pid) not in letters:
        assert time.monotonic() < limit, f"process {pid} is {state(pid)}, not one of {letters}"
        time.sleep(0.005)


def stop(pid: int) -> None:
    """Stops a process by a signal, and waits till it is."""
    os.kill(pid, signal.SIGSTOP)
    wait_for_state(pid, "T")
