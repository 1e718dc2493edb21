"""Which system call a thread is in, and on which file: /proc/PID/task/TID/syscall.

The numbers are the kernel's, which never change for a kind of machine. Only those are known here
in which a QEMU may wait; another one keeps its number.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

#: By name: (number on x86-64, number on aarch64). None: that machine has none.
_NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "accept4": (288, 242),
    "clock_nanosleep": (230, 115),
    "close": (3, 57),
    "connect": (42, 203),
    "epoll_pwait": (281, 22),
    "epoll_wait": (232, None),
    "fallocate": (285, 47),
    "fcntl": (72, 25),
    "fdatasync": (75, 83),
    "flock": (73, 32),
    "fstat": (5, 80),
    "fsync": (74, 82),
    "ftruncate": (77, 46),
    "futex": (202, 98),
    "io_getevents": (208, 4),
    "io_pgetevents": (333, 292),
    "io_submit": (209, 2),
    "io_uring_enter": (426, 426),
    "ioctl": (16, 29),
    "lseek": (8, 62),
    "newfstatat": (262, 79),
    "openat": (257, 56),
    "poll": (7, None),
    "ppoll": (271, 73),
    "pread64": (17, 67),
    "preadv": (295, 69),
    "preadv2": (327, 286),
    "pwrite64": (18, 68),
    "pwritev": (296, 70),
    "pwritev2": (328, 287),
    "read": (0, 63),
    "recvmsg": (47, 212),
    "restart_syscall": (219, 128),
    "rt_sigtimedwait": (128, 137),
    "sendmsg": (46, 211),
    "sync_file_range": (277, 84),
    "write": (1, 64),
}
_MACHINES = {"x86_64": 0, "aarch64": 1}
#: Their first argument is a descriptor.
_OF_A_FILE = {
    "accept4",
    "close",
    "connect",
    "fallocate",
    "fcntl",
    "fdatasync",
    "flock",
    "fstat",
    "fsync",
    "ftruncate",
    "ioctl",
    "lseek",
    "pread64",
    "preadv",
    "preadv2",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "read",
    "recvmsg",
    "sendmsg",
    "sync_file_range",
    "write",
}
_WORDS = {
    "futex": "futex (another thread)",
    "ppoll": "ppoll (something to do)",
    "poll": "poll (something to do)",
    "epoll_wait": "epoll_wait (something to do)",
    "epoll_pwait": "epoll_pwait (something to do)",
}


class Call(NamedTuple):
    """A system call.

    Attributes:
        name: of the call, "system call N" if it is not known here.
        file: what it is about, as /proc shows the descriptor; None if it is about none.
    """

    name: str
    file: str | None = None

    @property
    def words(self) -> str:
        """Say it."""
        said = _WORDS.get(self.name, self.name)
        return f"{said} of {self.file}" if self.file else said


def read_call(task: Path, machine: str | None = None) -> Call | None:
    """Read which call a thread is in; None if it runs, or that cannot be read.

    Args:
        task: /proc/PID/task/TID.
        machine: as ``uname -m`` says; None for this one.
    """
    try:
        with (task / "syscall").open() as stream:
            words = stream.read(4096).split()
    except OSError:
        return None
    if not words or not words[0].isdecimal():
        return None  # "running", or -1: in no call
    name = _name(int(words[0]), machine or os.uname().machine)
    if name is None:
        return Call(f"system call {words[0]}")
    return Call(name, _file(task, words) if name in _OF_A_FILE else None)


def _name(number: int, machine: str) -> str | None:
    column = _MACHINES.get(machine)
    if column is None:
        return None
    return next((name for name, numbers in _NUMBERS.items() if numbers[column] == number), None)


def _file(task: Path, words: list[str]) -> str | None:
    try:
        # the kernel may leave rubbish in the upper half of an int
        descriptor = int(words[1], 16) & 0xFFFFFFFF
        return os.readlink(task / "fd" / str(descriptor))
    except (OSError, ValueError, IndexError):
        return None
