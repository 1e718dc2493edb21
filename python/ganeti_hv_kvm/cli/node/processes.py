"""What /proc tells of a process without waiting for it: stat, status, comm take no lock of its."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ganeti_hv_kvm.cli.frame.output import quoted
from ganeti_hv_kvm.cli.node.process import name_of

if TYPE_CHECKING:
    from ganeti_hv_kvm.errors import QmpError

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Figures(NamedTuple):
    """A process at one moment.

    Attributes:
        state: the letter of proc(5).
        cpu: seconds of CPU time, all threads.
        age: seconds since it began.
        resident: bytes of memory.
    """

    state: str
    cpu: float
    age: float
    resident: int


def figures(pid: int) -> Figures | None:
    """Read /proc/PID/stat; None if it cannot be read, or the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        up = float(Path("/proc/uptime").read_text().split()[0])
        # What is in brackets is the process' own word, brackets and all.
        fields = text.rpartition(")")[2].split()
        user, system, began, pages = (int(fields[at]) for at in (11, 12, 19, 21))
    except (OSError, ValueError, IndexError):
        return None
    age = max(0.0, up - began / _TICKS)
    return Figures(fields[0], (user + system) / _TICKS, age, pages * _PAGE)


def named(pid: int) -> str:
    """Give "socat (4711)", or "process 4711" where its name cannot be read."""
    name = name_of(pid)
    return f"process {pid}" if name is None else f"{quoted(name)} ({pid})"


def holder_of(err: QmpError) -> str:
    """Give " (socat)" for a monitor that is busy, to follow an error that has the process id."""
    name = name_of(err.peer_pid) if err.peer_state == "busy" and err.peer_pid else None
    return f" ({quoted(name)})" if name else ""
