"""Many guests asked at once: those that hang cost one deadline together, not one each."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from ganeti_hv_kvm import _native
from ganeti_hv_kvm.errors import QmpRefusedError


class Verdict(enum.Enum):
    """What became of the questions to a guest."""

    ANSWERED = "answered"
    #: another client holds the monitor
    BUSY = "busy"
    #: the process is stopped (SIGSTOP): it answers nobody
    STOPPED = "stopped"
    #: the process is gone, or nobody listens
    GONE = "gone"
    #: it runs, and did not answer in time
    SILENT = "silent"
    #: the connection broke, or what came is not QMP
    BROKEN = "broken"


class Answer(NamedTuple):
    """What a guest said.

    Attributes:
        values: the value of "return" of each command that QEMU carried out.
        refusals: QEMU's no to the others that it answered.
        error: why the verdict is another one than ANSWERED.
        pid: the process that listens on the monitor, where it was reached.
    """

    verdict: Verdict
    values: dict[str, object]
    refusals: dict[str, QmpRefusedError]
    error: BaseException | None
    pid: int | None = None


def ask(
    sockets: Sequence[str],
    find_pids: Callable[[], Sequence[int | None]],
    commands: Collection[str],
    deadline: float | None = None,
) -> list[Answer]:
    """Give each guest the same commands; none of them may change anything.

    Args:
        sockets: the path of each guest's QMP socket.
        find_pids: gives each guest's process; it works while QEMU does. A guest for which it
            gives None is not waited for; 0 stands for one that is not known.
        commands: QMP's names, each once.
        deadline: seconds for everything together; None for a connection's own time-out.

    Returns:
        The answers in the order of the guests. What is wrong with one of them is told in its
        answer, and disturbs no other.

    Raises:
        errors.HypervisorError: not one file descriptor is left.
    """
    answers = _native.query_fleet(sockets, commands, timeout=deadline, pids=find_pids)
    return [_answer(commands, answer) for answer in answers]


def _answer(commands: Collection[str], answer: _native.FleetAnswer) -> Answer:
    values: dict[str, object] = {}
    refusals: dict[str, QmpRefusedError] = {}
    for command, reply in zip(commands, answer.replies, strict=False):
        if isinstance(reply, QmpRefusedError):
            refusals[command] = reply
        else:
            values[command] = reply
    return Answer(Verdict(answer.verdict), values, refusals, answer.error, answer.peer_pid)
