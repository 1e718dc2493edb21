"""How guests are, judged: what QEMU tells of each, and what is to be thought of it."""

from __future__ import annotations

import contextlib
import enum
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ganeti_hv_kvm.cli.node import look as looking
from ganeti_hv_kvm.cli.node import patience, process
from ganeti_hv_kvm.cli.node.guests import LocalGuest, is_there
from ganeti_hv_kvm.cli.node.look import Look, Question
from ganeti_hv_kvm.qmp_values import numbers
from ganeti_hv_kvm.qmp_values.run_state import RunState, quoted

_VERSION, _MACHINE, _BLOCK = "query-version", "machine", "query-block"
_QUESTIONS: Mapping[str, Question] = {
    **{
        name: name
        for name in (numbers.STATUS, numbers.CPUS, numbers.BALLOON, numbers.SIZE, numbers.ADDED)
    },
    _VERSION: _VERSION,
    _MACHINE: ("qom-get", {"path": "/machine", "property": "type"}),
}
_STOPPED_BY_A_DISK = "io-error"
_LEAST = 0.1
_MIB = 1 << 20


class Rank(enum.IntEnum):
    """Whom a guest concerns, most urgent first."""

    TROUBLE = 0
    NOTICE = 1
    RUNS = 2


class Condition(NamedTuple):
    """A guest, judged.

    Attributes:
        monitor: the verdict, in a word.
        state: QEMU's word for what the guest does; None if it did not tell.
        values: by the names of the listing's fields.
    """

    guest: LocalGuest
    rank: Rank
    monitor: str
    state: str | None
    pid: int | None
    values: Mapping[str, object]


def look(guests: Sequence[LocalGuest], timeout: float) -> list[Condition]:
    """Look at guests, ``timeout`` seconds at most for all of them together.

    Raises:
        errors.HypervisorError: not one descriptor is left.
    """
    until = time.monotonic() + timeout
    looks = looking.look(guests, _QUESTIONS, timeout)
    judged = [_judge(one, timeout) for one in looks]
    _add_disks(judged, until)
    _add_command_lines(judged, until)
    return judged


def _judge(seen: Look, timeout: float) -> Condition:
    monitor, reason, told, state = seen.verdict, seen.reason, numbers.NOTHING, None
    if monitor == looking.SILENT and seen.condition in ("stopped", "frozen"):
        monitor = looking.STOPPED
    if monitor == looking.ANSWERED:
        try:
            told = numbers.read(seen.values)
            state = told.state
            if state is None:
                raise numbers.NonsenseError("it tells no run state")
        except numbers.NonsenseError as err:
            monitor, reason, state = looking.BROKEN, f"QEMU tells what cannot be: {err}", None
            told = numbers.NOTHING
    if state is not None:
        rank, reason = _of_state(state)
    else:
        rank, reason = _of_silence(seen, monitor, reason, timeout)
    usage = process.usage(seen.pid) if seen.pid else None
    values: dict[str, object] = {
        "name": seen.guest.name,
        "pid": seen.pid,
        "state": quoted(state.status) if state else None,
        "monitor": monitor,
        "vcpus": told.vcpus,
        "memory": told.memory,
        "maximum": _maximum(seen),
        "qemu": _version(seen.values.get(_VERSION)),
        "machine": _machine(seen.values.get(_MACHINE)),
        "reason": reason,
        "holder": seen.holder,
        "uptime": usage.age if usage else None,
        "resident": usage.resident // _MIB if usage else None,
        "process": usage.state if usage else None,
    }
    return Condition(seen.guest, rank, monitor, state and state.status, seen.pid, values)


def keys(conditions: Iterable[Condition]) -> dict[str, str]:
    """Give what `since.note` compares, by name: while it is the same, the guest is as it was."""
    return {one.guest.name: f"{one.monitor} {one.state} {one.pid}" for one in conditions}


def _maximum(seen: Look) -> int | None:
    with contextlib.suppress(numbers.NonsenseError):
        return numbers.read_size(seen.values)
    return None


def _of_state(state: RunState) -> tuple[Rank, str | None]:
    if state.is_running:
        return Rank.RUNS, None
    return (Rank.TROUBLE if state.is_trouble else Rank.NOTICE), f"the guest {state.meaning}"


def _of_silence(
    seen: Look, monitor: str, reason: str | None, timeout: float
) -> tuple[Rank, str | None]:
    """Say why it told nothing."""
    if seen.doubt:
        return Rank.TROUBLE, f"whether it runs cannot be told: {seen.doubt}"
    if seen.condition == "exiting":
        return Rank.TROUBLE, "its process is on its way out, and has not ended"
    if monitor == looking.GONE and seen.pid is None and is_there(seen.guest.shutdown):
        return Rank.NOTICE, "its user shut it down"
    reasons = {
        looking.GONE: _why_gone(seen),
        looking.BUSY: f"{seen.holder or 'another client'} holds its monitor",
        looking.STOPPED: _why_stopped(seen),
        looking.SILENT: f"no answer within {timeout:g} s{_process_state(seen)}",
    }
    return Rank.TROUBLE, reasons.get(monitor, reason)


def _why_gone(seen: Look) -> str:
    if seen.pid is not None:
        return "its process is there, and nobody listens on its monitor"
    guest = seen.guest
    files = {"pid file": guest.pidfile, "socket": guest.qmp, "runtime file": guest.runtime}
    left = [name for name, path in files.items() if is_there(path)]
    return f"no QEMU runs; left: {', '.join(left) or 'nothing'}"


def _why_stopped(seen: Look) -> str:
    return looking.STANDS_STILL.get(str(seen.condition), looking.STANDS_STILL["stopped"])


def _process_state(seen: Look) -> str:
    usage = process.usage(seen.pid) if seen.pid else None
    return f"; its process is in state {usage.state}" if usage else ""


def _version(answer: object) -> str | None:
    numbers_of = answer.get("qemu") if isinstance(answer, dict) else None
    if not isinstance(numbers_of, dict):
        return None
    parts = [numbers_of.get(name) for name in ("major", "minor", "micro")]
    if not all(type(part) is int and 0 <= part < 1000 for part in parts):
        return None
    return ".".join(map(str, parts))


def _machine(answer: object) -> str | None:
    return quoted(answer.removesuffix("-machine")) if isinstance(answer, str) else None


def _add_disks(judged: list[Condition], until: float) -> None:
    """Say which disk stopped a guest; that question may wait for the disk, so it comes alone."""
    waiting = [at for at, one in enumerate(judged) if one.state == _STOPPED_BY_A_DISK]
    left = max(_LEAST, until - time.monotonic())
    looks = looking.look([judged[at].guest for at in waiting], {_BLOCK: _BLOCK}, left)
    for at, seen in zip(waiting, looks, strict=True):
        if disks := _failed_disks(seen.values.get(_BLOCK)):
            values = dict(judged[at].values)
            values["reason"] = f"{values['reason']}; {disks}"
            judged[at] = judged[at]._replace(values=values)


def _failed_disks(answer: object) -> str:
    """Name the disks whose io-status is not "ok"."""
    found = []
    for one in answer if isinstance(answer, list) else []:
        if not isinstance(one, dict) or one.get("io-status", "ok") == "ok":
            continue
        name = one.get("device") or one.get("qdev") or "a disk"
        why = {"nospace": "no space is left", "failed": "it failed"}
        status = one["io-status"]
        found.append(f"{quoted(name)}: {why.get(str(status), quoted(status))}")
    return ", ".join(found)


def _add_command_lines(judged: list[Condition], until: float) -> None:
    """Take from command lines what QEMU did not tell; one that hangs may not let it be read."""
    missing = {
        at: one.pid
        for at, one in enumerate(judged)
        if one.pid and None in (one.values["vcpus"], one.values["memory"])
    }
    if not missing:
        return
    found: dict[int, tuple[int | None, int | None]] = {}

    def read() -> None:
        from ganeti_hv_kvm import _native

        for at, pid in missing.items():
            _, memory, vcpus = _native.process_values(pid)
            found[at] = (memory, vcpus)

    with contextlib.suppress(patience.OutOfPatienceError):  # what was read until then counts
        patience.within(max(_LEAST, until - time.monotonic()), read)
    for at, (memory, vcpus) in dict(found).items():
        values = dict(judged[at].values)
        values["memory"] = memory if values["memory"] is None else values["memory"]
        values["vcpus"] = vcpus if values["vcpus"] is None else values["vcpus"]
        judged[at] = judged[at]._replace(values=values)
