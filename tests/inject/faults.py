"""Which errors a system call may meet, and how calls are told apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from .tracee import Call, Fault

_FULL = ("ENOSPC", "EIO", "EINTR")
_FOLDER = ("ENOSPC", "EPERM", "EIO")
_LOOK = ("EIO", "ENOMEM")
_TALK = ("ENOMEM", "EINTR", "EIO")
_WAIT = ("EINTR", "ENOMEM")
_NEW = ("EMFILE", "ENOMEM")

#: Errors by call. Not here: what cannot fail (getpid), what a failed injection would do itself
#: (close: the kernel closes always; brk: the kernel gives the old break, and no errno), and what a
#: process does to end.
ERRORS: dict[str, tuple[str, ...]] = {
    "openat": ("EMFILE", "EIO", "EPERM", "EINTR"),
    "read": ("EIO", "EINTR"),
    "pread64": ("EIO", "EINTR"),
    "write": _FULL,
    "writev": _FULL,
    "pwrite64": _FULL,
    "fsync": ("EIO", "ENOSPC"),
    "ftruncate": ("EIO", "EINTR"),
    "newfstatat": _LOOK,
    "statx": _LOOK,
    "access": _LOOK,
    "faccessat2": _LOOK,
    "readlink": _LOOK,
    "getdents64": _LOOK,
    "mkdir": _FOLDER,
    "rename": _FOLDER,
    "link": _FOLDER,
    "unlink": ("EPERM", "EIO"),
    "unlinkat": ("EPERM", "EIO"),
    "rmdir": ("EPERM", "EIO"),
    "chmod": ("EPERM", "EIO"),
    "fchmod": ("EPERM", "EIO"),
    "chown": ("EPERM", "EIO"),
    "fchown": ("EPERM", "EIO"),
    "flock": ("EINTR", "EIO"),
    "socket": _NEW,
    "connect": ("ENOMEM", "EPERM", "EINTR"),
    "bind": ("ENOMEM", "EPERM"),
    "getsockopt": ("ENOMEM",),
    "setsockopt": ("ENOMEM",),
    "sendto": _TALK,
    "sendmsg": _TALK,
    "recvfrom": _TALK,
    "recvmsg": _TALK,
    "poll": _WAIT,
    "ppoll": _WAIT,
    "select": _WAIT,
    "pselect6": _WAIT,
    "epoll_create1": _NEW,
    "epoll_ctl": ("ENOMEM",),
    "epoll_wait": ("EINTR",),
    "pipe2": ("EMFILE",),
    "dup": ("EMFILE",),
    "dup2": ("EMFILE",),
    "fcntl": ("EMFILE", "ENOMEM"),
    "vfork": ("EAGAIN", "ENOMEM"),
    "fork": ("EAGAIN", "ENOMEM"),
    "clone": ("EAGAIN", "ENOMEM"),
    "clone3": ("EAGAIN", "ENOMEM"),
    "wait4": ("EINTR", "ECHILD"),
    "waitid": ("EINTR", "ECHILD"),
    "kill": ("EPERM",),
    "pidfd_open": ("EMFILE", "ENOMEM", "EPERM", "ENOSYS"),
    "pidfd_send_signal": ("EPERM", "ENOSYS"),
    "ioctl": ("EPERM", "EIO", "ENOMEM"),
    "sched_setaffinity": ("EPERM",),
    "mmap": ("ENOMEM",),
    "mremap": ("ENOMEM",),
    "clock_nanosleep": ("EINTR",),
    "prlimit64": ("EPERM",),
}

# Calls that fail in the ordinary course of things, or never.
_HARMLESS = re.compile(
    r"^(ioctl\([^,]+, (TCGETS|FIOCLEX)|fcntl\([^,]+, (F_GETFL|F_SETFL|F_GETFD|F_SETFD))"
)

#: What each request does first: it is tried in two of them.
_RUN_DIRECTORIES = re.compile(
    r"^(mkdir|chmod|newfstatat)\((AT_FDCWD[^,]*, )?"
    r"\"<node N>/var/run/ganeti/kvm-hypervisor(/[a-z-]+)?\""
)
_FULLY = ("start", "list")


def what(call: Call, roots: Iterable[str]) -> str:
    """A call without what differs in each run, such as numbers of processes and descriptors."""
    text = call.arguments
    for number, root in enumerate(roots):
        text = text.replace(root, f"<node {number}>")
    text = re.sub(r"\.new-?\w*|\.tmp\w*|(?<=/)tmp\w{8}", ".new", text)
    text = re.sub(r"0x[0-9a-f]+", "N", text)
    return f"{call.name}({re.sub(r'[0-9]+', 'N', text)}"


def points(
    operation: str, calls: list[Call], roots: Iterable[str], most: int
) -> Iterator[tuple[Fault, str]]:
    """Each fault worth trying, with the call that it hits; of equal calls the first ``most``."""
    seen: dict[str, int] = {}
    known = list(roots)
    for call in calls:
        if _HARMLESS.match(f"{call.name}({call.arguments}"):
            continue
        kind = what(call, known)
        if operation not in _FULLY and _RUN_DIRECTORIES.match(kind):
            continue
        seen[kind] = seen.get(kind, 0) + 1
        if seen[kind] > most:
            continue
        for error in ERRORS.get(call.name, ()):
            yield Fault(call.name, call.ordinal, error), kind
        if call.name == "openat" and "O_CREAT" in call.arguments:
            yield Fault(call.name, call.ordinal, "ENOSPC"), kind
