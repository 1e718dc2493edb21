"""``ganeti-hv-kvm migration``: how far a guest's migration is, and how it would be settled."""

from __future__ import annotations

import argparse
from typing import NamedTuple

from ganeti_hv_kvm.cli.frame import arguments, exit_status, output, screen
from ganeti_hv_kvm.cli.frame.table import duration, scaled
from ganeti_hv_kvm.cli.node import guests
from ganeti_hv_kvm.cli.node import look as looking
from ganeti_hv_kvm.cli.node.guests import LocalGuest
from ganeti_hv_kvm.cli.node.look import Look
from ganeti_hv_kvm.errors import HypervisorError
from ganeti_hv_kvm.migration_decision import (
    NodeState,
    at_source,
    at_target,
    decide,
    has_arrived,
    is_target,
)
from ganeti_hv_kvm.qmp_values import migration as told
from ganeti_hv_kvm.qmp_values.migration import Migration, Progress

DESCRIPTION = (
    "Tells how far the migration of a guest is, as its QEMU on this node tells, and what this node"
    " would do if Ganeti called it settled now. --watch ends with the migration. Exit status 1: it"
    " failed, QEMU does not answer, or it cannot end at this rate."
)
_MIGRATE, _STATUS = "query-migrate", "query-status"
_TIMEOUT = 3.0
#: QEMU's words for one that is over, or was never begun.
_AT_REST = ("none", "completed", "failed", "cancelled")
_ENDED_BADLY = ("failed", "postcopy-paused")


class Seen(NamedTuple):
    """What was seen of it."""

    state: NodeState
    migration: Migration
    progress: Progress
    reason: str | None

    @property
    def is_under_way(self) -> bool:
        """Tell whether it has begun and not ended."""
        return is_target(self.state) or self.migration.status not in _AT_REST

    @property
    def status(self) -> int:
        """The exit status."""
        is_endless = self.is_under_way and self.progress.seconds_left == float("inf")
        is_bad = self.migration.status in _ENDED_BADLY or not self.state.answers or is_endless
        return exit_status.WRONG if is_bad else exit_status.WELL


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    arguments.add_name(parser)
    arguments.add_watch(parser, 1.0)
    arguments.add_timeout(parser, _TIMEOUT)
    arguments.add_json(parser)
    arguments.add_directories(parser, "run")


def run(options: argparse.Namespace) -> int:
    """Look, once or again and again."""
    guest = guests.find(options.run_dir, options.name)
    if not options.watch:
        seen = _look(guest, options.timeout)
        _write(options, guest, seen)
        return seen.status
    if options.json:
        return _stream(options, guest)
    seen = _watch(options, guest)
    for line in _lines(guest, seen):  # on the screen that stays
        output.write(line)
    return seen.status


def _stream(options: argparse.Namespace, guest: LocalGuest) -> int:
    was_under_way = False
    status = exit_status.WELL
    for _ in arguments.rounds(options):
        seen = _look(guest, options.timeout)
        output.write_json(_values(guest, seen), indent=None)
        status = seen.status
        if was_under_way and not seen.is_under_way:
            break
        was_under_way = was_under_way or seen.is_under_way
    return status


def _watch(options: argparse.Namespace, guest: LocalGuest) -> Seen:
    was_under_way, drawn = False, 0
    with screen.Screen() as shown:
        while True:
            seen = _look(guest, options.timeout)
            if was_under_way and not seen.is_under_way:
                return seen
            was_under_way = was_under_way or seen.is_under_way
            shown.draw(_lines(guest, seen))
            drawn += 1
            if drawn == options.count or shown.wait(options.interval) in ("q", "Q"):
                return seen


def _look(guest: LocalGuest, timeout: float) -> Seen:
    # First the migration: a run state that is older than the status could hide a switch-over.
    (look,) = looking.look([guest], {_MIGRATE: _MIGRATE, _STATUS: _STATUS}, timeout)
    alive = None if look.doubt else look.pid is not None
    nothing = NodeState(alive=alive, answers=False)
    if look.verdict != looking.ANSWERED:
        return Seen(nothing, Migration(), Progress(), _why_silent(look))
    try:
        migration = told.read_migration(look.values.get(_MIGRATE))
        run_state = told.read_run_state(look.values.get(_STATUS))
    except HypervisorError as err:
        return Seen(nothing, Migration(), Progress(), str(err))
    state = NodeState.told(migration, run_state)
    return Seen(state, migration, told.read_progress(look.values[_MIGRATE]), None)


def _why_silent(look: Look) -> str:
    if look.doubt:
        return f"whether its QEMU runs here cannot be told: {look.doubt}"
    if look.verdict == looking.GONE and look.pid is None:
        return "its QEMU is not here (any more)"
    why = f"{look.holder} holds it" if look.holder else look.reason
    return f"its monitor is {look.verdict}: {why}"


def _decisions(seen: Seen) -> dict[str, dict[str, str | None]]:
    """Say what this node does when Ganeti calls the migration settled."""
    return {
        when: dict(zip(("decision", "meaning"), _decision(seen.state, success), strict=True))
        for when, success in (("success", True), ("abort", False))
    }


def _decision(state: NodeState, success: bool) -> tuple[str | None, str]:
    """Give the decision and its meaning; None where it depends on the side, which is not known."""
    if state.answers:
        end = decide(state, success)
        return end.name, str(end.value)
    source, target = at_source(state, success), at_target(state, success)
    if source.name == target.name:
        return source.name, str(source.value)
    return None, (
        f"as its source: {source.value} ({source.name});"
        f" as its target: {target.value} ({target.name})"
    )


def _in_words(state: NodeState, success: bool) -> str:
    name, meaning = _decision(state, success)
    return f"{meaning} ({name})" if name else meaning


def _values(guest: LocalGuest, seen: Seen) -> dict[str, object]:
    migration, progress = seen.migration, seen.progress
    left = progress.seconds_left
    return {
        "name": guest.name,
        "side": _side(seen),
        "answers": seen.state.answers,
        "status": migration.status if seen.state.answers else None,
        "run_state": seen.state.run_state or None,
        "transferred": migration.transferred,
        "total": migration.total,
        **{name: getattr(progress, name) for name in progress._fields if name != "blocked"},
        "passes": migration.passes,
        "seconds_left": left if left != float("inf") else None,
        "converges": None if left is None else left != float("inf"),
        "blocked": list(progress.blocked),
        "reason": seen.reason or migration.error or None,
        "here": _decisions(seen),
    }


def _side(seen: Seen) -> str | None:
    if not seen.state.answers:
        return None
    return "target" if is_target(seen.state) or has_arrived(seen.state) else "source"


def _write(options: argparse.Namespace, guest: LocalGuest, seen: Seen) -> None:
    if options.json:
        output.write_json(_values(guest, seen))
        return
    for line in _lines(guest, seen):
        output.write(line)


def _lines(guest: LocalGuest, seen: Seen) -> list[str]:
    rows = {"Instance": output.quoted(guest.name)}
    if seen.state.answers:
        is_waiting = is_target(seen.state)
        words = "waits for the guest" if is_waiting else f"guest {seen.state.run_state}"
        rows["Migration"] = f"{seen.migration.status} ({_side(seen)}; {words})"
        rows.update(_progress(seen))
    if reason := seen.reason or seen.migration.error:
        rows["Reason"] = reason
    for at, blocked in enumerate(seen.progress.blocked):
        rows["Blocked" + " " * at] = blocked  # a key of its own
    if seen.is_under_way or not seen.state.answers or seen.migration.status != "none":
        rows["Success"] = f"if Ganeti calls it a success: {_in_words(seen.state, True)}"
        rows["Abort"] = f"if Ganeti calls it off: {_in_words(seen.state, False)}"
        other = {"source": "target", "target": "source"}.get(_side(seen) or "", "other node")
        rows["Elsewhere"] = f"the {other} decides by its own QEMU: ask there"
    width = max(map(len, map(str.rstrip, rows)))
    return [f"{title.rstrip() + ':':<{width + 1}} {text}" for title, text in rows.items()]


def _progress(seen: Seen) -> dict[str, str]:
    migration, progress = seen.migration, seen.progress
    rows = {}
    if migration.total:
        # What is sent again counts twice in what was sent: what is left tells how far it is.
        left = progress.remaining or 0
        percent = 100 * max(0, migration.total - left) // migration.total
        sent = scaled(migration.transferred or 0)
        rows["Progress"] = (
            f"{percent}% of {scaled(migration.total)}; {sent} sent, {scaled(left)} left,"
            f" pass {migration.passes}"
        )
    if seen.is_under_way and progress.rate is not None:
        dirty = scaled(progress.dirty_rate or 0)
        rows["Rate"] = f"{scaled(progress.rate)}/s; the guest writes {dirty}/s anew"
        rows["Time left"] = _time_left(progress)
    if seen.is_under_way and progress.expected_downtime is not None:
        rows["Downtime"] = f"{progress.expected_downtime:g} s expected"
    if progress.seconds is not None:
        rows["Lasted"] = duration(progress.seconds)
    return rows


def _time_left(progress: Progress) -> str:
    left = progress.seconds_left
    if left is None:
        return "cannot be told"
    if left == float("inf"):
        return (
            "no end at this rate: the guest writes as fast as is sent; raise migration_bandwidth or"
            " migration_downtime, or pause the guest"
        )
    return duration(left)
