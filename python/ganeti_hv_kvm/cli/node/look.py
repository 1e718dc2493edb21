"""A look at many guests at once: their processes and monitors, under one deadline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ganeti_hv_kvm.cli.node.guests import LocalGuest
from ganeti_hv_kvm.cli.node.process import named

if TYPE_CHECKING:
    from ganeti_hv_kvm._native import FleetAnswer

#: A command of QMP's that changes nothing, with its arguments.
Question = str | tuple[str, Mapping[str, object]]

ANSWERED, BUSY, STOPPED, GONE, SILENT, BROKEN = (
    "answered",
    "busy",
    "stopped",
    "gone",
    "silent",
    "broken",
)
#: What a process does that answers nobody until somebody lets it go on.
STANDS_STILL = {
    "stopped": "its process is stopped by a signal",
    "frozen": "the freezer of its cgroup holds its process",
}


class Look(NamedTuple):
    """What was seen of a guest.

    Attributes:
        pid: its process; None if there is none, or that cannot be told (``doubt``).
        doubt: why it cannot be told whether it runs.
        condition: what `_native.process_condition` says of the process, if it did not answer.
        verdict: `query_fleet`'s; "broken" too where a stranger answers on its monitor.
        reason: why the verdict is not "answered".
        holder: who holds the monitor, if it is "busy".
        values: what QEMU answered, by the names of the questions.
        refusals: QEMU's own words for the questions that it refused.
        holder_pid: the process of ``holder``.
    """

    guest: LocalGuest
    pid: int | None
    doubt: str | None
    condition: str | None
    verdict: str
    reason: str | None
    holder: str | None
    values: Mapping[str, object]
    refusals: Mapping[str, str]
    holder_pid: int | None = None


def look(
    guests: Sequence[LocalGuest], questions: Mapping[str, Question], timeout: float
) -> list[Look]:
    """Ask all guests the same, by names that the caller gives; wait ``timeout`` seconds for all.

    Raises:
        errors.HypervisorError: not one descriptor is left.
    """
    if not guests:
        return []
    from ganeti_hv_kvm import query_fleet

    found: list[Found] = []

    def find_pids() -> list[int | None]:
        found.extend(find(guest) for guest in guests)
        return [0 if process.doubt else process.pid for process in found]

    sockets = [guest.qmp for guest in guests]
    answers = query_fleet(sockets, list(questions.values()), timeout=timeout, pids=find_pids)
    return [
        _seen(guest, process, answer, list(questions))
        for guest, process, answer in zip(guests, found, answers, strict=True)
    ]


class Found(NamedTuple):
    """A guest's QEMU; None if there is none, or that cannot be told, for the reason given."""

    pid: int | None
    doubt: str | None = None


def find(guest: LocalGuest) -> Found:
    """Find a guest's QEMU, as the kernel knows it."""
    from ganeti_hv_kvm import _native
    from ganeti_hv_kvm.errors import ProcessUnknownError

    try:
        return Found(_native.find_process(guest.pidfile, guest.qmp))
    except ProcessUnknownError as err:
        return Found(None, str(err))


def condition_of(pid: int) -> str | None:
    """Give what `_native.process_condition` says of a process; None if it cannot be told."""
    from ganeti_hv_kvm import _native
    from ganeti_hv_kvm.errors import ProcessUnknownError

    try:
        return _native.process_condition(pid)
    except ProcessUnknownError:
        return None


def _seen(guest: LocalGuest, process: Found, answer: FleetAnswer, names: Sequence[str]) -> Look:
    from ganeti_hv_kvm import QmpRefusedError

    verdict: str = answer.verdict
    replies, error = answer.replies, answer.error
    reason = None if error is None else str(error)
    if verdict == ANSWERED and process.pid and answer.peer_pid not in (None, process.pid):
        verdict, replies = BROKEN, []
        reason = (
            f"{named(answer.peer_pid)} answers on its monitor, and {named(process.pid)} holds its"
            " pid file"
        )
    pid = process.pid or (answer.peer_pid if process.doubt else None)
    holder_pid = getattr(error, "peer_pid", None) if verdict == BUSY else None
    pairs = list(zip(names, replies, strict=False))
    return Look(
        guest=guest,
        pid=pid,
        doubt=process.doubt,
        condition=condition_of(pid) if pid and verdict != ANSWERED else None,
        verdict=verdict,
        reason=reason,
        holder=named(holder_pid) if holder_pid else None,
        holder_pid=holder_pid,
        values={name: one for name, one in pairs if not isinstance(one, QmpRefusedError)},
        refusals={name: one.desc for name, one in pairs if isinstance(one, QmpRefusedError)},
    )
