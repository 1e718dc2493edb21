"""A process and its threads, as the kernel tells of them in /proc (proc(5)).

Root reads all of it at any time: nothing here waits for the process, however it hangs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ganeti_hv_kvm.cli.frame.output import quoted
from ganeti_hv_kvm.cli.node.system_calls import Call, read_call

if TYPE_CHECKING:
    from ganeti_hv_kvm.errors import QmpError

PROC = Path("/proc")
_MOST_THREADS = 512
_MOST_BYTES = 1 << 16
_MOST_COMMAND = 4 << 20
_TICKS, _PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
#: Fields of stat behind the name.
_STATE, _USER, _SYSTEM, _STARTED, _RESIDENT = 0, 11, 12, 19, 21
#: Of a kernel stack: how every thread waits, whatever for.
_ANY_WAIT = frozenset(
    {
        "schedule",
        "schedule_timeout",
        "io_schedule",
        "do_syscall_64",
        "entry_SYSCALL_64_after_hwframe",
    }
)

STATES = {
    "R": "runs",
    "S": "waits",
    "D": "waits for a device or file system, and obeys no signal meanwhile",
    "T": "is stopped by a signal",
    "t": "is stopped by a debugger",
    "Z": "has ended",
    "X": "has ended",
    "I": "is idle",
}


class Thread(NamedTuple):
    """One thread; what cannot be read is None.

    Attributes:
        state: the kernel's letter for it, see ``STATES``.
        kernel: the function of the kernel in which it waits.
        call: the system call that it is in.
    """

    tid: int
    name: str
    state: str
    kernel: str | None
    call: Call | None

    @property
    def words(self) -> str:
        """Say what it does, to follow its name."""
        said = STATES.get(self.state, f"is in state {self.state}")
        if self.call is not None:
            said += f", in {self.call.words}"
        if self.kernel and self.state != "R":
            said += f" (kernel: {self.kernel})"
        return said


class Process(NamedTuple):
    """One process; what cannot be read is None.

    Attributes:
        age: seconds since it began.
        tracer: process id of its debugger, 0 for none.
        memory: MiB of it that are in the node's memory.
        descriptors: how many it has open.
        most_descriptors: how many it may have open.
        threads: all of them, or the first 512.
    """

    pid: int
    name: str
    state: str
    age: float | None
    tracer: int | None
    memory: int | None
    descriptors: int | None
    most_descriptors: int | None
    threads: tuple[Thread, ...]

    @property
    def hanging(self) -> list[Thread]:
        """The threads that wait for a device or file system."""
        return [thread for thread in self.threads if thread.state == "D"]


def read(pid: int, proc: Path = PROC) -> Process | None:
    """Read what there is of a process; None if there is none.

    Raises:
        OSError: there may be one, and it cannot be read.
    """
    here = proc / str(pid)
    try:
        name, fields = _stat(_text(here / "stat"))
    except (FileNotFoundError, ProcessLookupError):
        return None
    status = _status(here)
    return Process(
        pid=pid,
        name=name,
        state=fields[_STATE],
        age=_age(proc, fields),
        tracer=_number(status.get("TracerPid")),
        memory=_mebibytes(status.get("VmRSS")),
        descriptors=_count(here / "fd"),
        most_descriptors=_limit(here),
        threads=tuple(_threads(here)),
    )


class Usage(NamedTuple):
    """What one process uses, at one moment.

    Attributes:
        state: the kernel's letter for it, see ``STATES``.
        cpu: seconds of CPU time, all threads.
        age: seconds since it began.
        resident: bytes of it that are in the node's memory.
    """

    state: str
    cpu: float
    age: float
    resident: int


def usage(pid: int, proc: Path = PROC) -> Usage | None:
    """Read what a process uses, in one file; None if it cannot be read, or the process is gone."""
    try:
        _, fields = _stat(_text(proc / str(pid) / "stat"))
        user, system, pages = (int(fields[at]) for at in (_USER, _SYSTEM, _RESIDENT))
    except (OSError, ValueError):
        return None
    if (age := _age(proc, fields)) is None:
        return None
    return Usage(fields[_STATE], (user + system) / _TICKS, age, pages * _PAGE)


def command_line(pid: int, proc: Path = PROC) -> list[str]:
    """Give the words that a process was started with; it may have written over them.

    Raises:
        OSError: they cannot be read.
    """
    with (proc / str(pid) / "cmdline").open("rb") as stream:
        text = os.fsdecode(stream.read(_MOST_COMMAND))
    return text.removesuffix("\0").split("\0") if text else []


def name_of(pid: int, proc: Path = PROC) -> str | None:
    """Give the name of a process, as ``ps`` shows it."""
    try:
        return _text(proc / str(pid) / "comm").rstrip("\n")
    except OSError:
        return None


def named(pid: int) -> str:
    """Give "socat (4711)", or "process 4711" where its name cannot be read."""
    name = name_of(pid)
    return f"process {pid}" if name is None else f"{quoted(name)} ({pid})"


def holder_of(err: QmpError) -> str:
    """Give " (socat)" for a monitor that is busy, to follow an error that has the process id."""
    name = name_of(err.peer_pid) if err.peer_state == "busy" and err.peer_pid else None
    return f" ({quoted(name)})" if name else ""


def environment(pid: int, proc: Path = PROC) -> dict[str, str]:
    """Give the environment that a process was started with.

    Raises:
        OSError: it cannot be read.
    """
    with (proc / str(pid) / "environ").open("rb") as stream:
        text = os.fsdecode(stream.read(_MOST_COMMAND))
    pairs = (entry.partition("=") for entry in text.split("\0") if "=" in entry)
    return {name: content for name, _, content in pairs}


def pids(proc: Path = PROC) -> list[int]:
    """Give the processes that this one sees.

    Raises:
        OSError: they cannot be listed.
    """
    return sorted(int(name) for name in os.listdir(proc) if name.isdecimal())


def _text(path: Path) -> str:
    with path.open("rb") as stream:
        return stream.read(_MOST_BYTES).decode("utf-8", "replace")


def _stat(text: str) -> tuple[str, list[str]]:
    head, _, rest = text.rpartition(")")
    fields = rest.split()
    if len(fields) <= _RESIDENT:
        raise OSError(f"/proc has a stat of an unknown form: {text[:80]!r}")
    return head.partition("(")[2], fields


def _status(here: Path) -> dict[str, str]:
    try:
        lines = _text(here / "status").splitlines()
    except OSError:
        return {}
    return {name: content.strip() for name, _, content in (one.partition(":") for one in lines)}


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _mebibytes(text: str | None) -> int | None:
    kibibytes = _number(text.partition(" ")[0]) if text else None
    return None if kibibytes is None else kibibytes >> 10


def _age(proc: Path, fields: list[str]) -> float | None:
    try:
        uptime = float(_text(proc / "uptime").split()[0])
        return max(0.0, uptime - int(fields[_STARTED]) / _TICKS)
    except (OSError, ValueError, IndexError):
        return None


def _count(folder: Path) -> int | None:
    try:
        return len(os.listdir(folder))
    except OSError:
        return None


def _limit(here: Path) -> int | None:
    try:
        lines = _text(here / "limits").splitlines()
    except OSError:
        return None
    soft = [line.split()[3] for line in lines if line.startswith("Max open files")]
    return _number(soft[0]) if soft else None


def _threads(here: Path) -> list[Thread]:
    try:
        tids = sorted(int(name) for name in os.listdir(here / "task"))
    except OSError:
        return []
    return [found for tid in tids[:_MOST_THREADS] if (found := _thread(here, tid)) is not None]


def _thread(here: Path, tid: int) -> Thread | None:
    task = here / "task" / str(tid)
    try:
        name, fields = _stat(_text(task / "stat"))
    except OSError:
        return None  # it has ended meanwhile
    return Thread(tid, name, fields[_STATE], _kernel_function(task), read_call(task))


def _kernel_function(task: Path) -> str | None:
    """In which of the kernel's functions it waits: of its stack the first that tells something."""
    try:
        frames = [line.split("] ", 1)[-1] for line in _text(task / "stack").splitlines()]
    except OSError:
        frames = []
    # a compiler's copy of a function has a name such as "f.constprop.0"
    names = [frame.partition("+")[0].partition(".")[0] for frame in frames]
    telling = [name for name in names if name not in _ANY_WAIT]
    if telling:
        return telling[0]
    try:
        return _text(task / "wchan").strip("0\n") or None
    except OSError:
        return None
