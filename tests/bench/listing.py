"""GetAllInstancesInfo: from one guest to a full node and beyond, well and ill."""

from __future__ import annotations

import re
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from harness import idle_guests

from . import clients
from .clients import FLOOR, GANETI, OURS
from .pool import compare, workers
from .results import Bar, Curve, Effort, Report, Series, Table

#: What a QEMU without a machine takes of its own, in bytes: there must be as much left again.
_MEMORY = 12 << 20


def _fits(count: int) -> bool:
    available = re.search(r"MemAvailable: *(\d+)", Path("/proc/meminfo").read_text())
    return bool(available) and int(available[1]) << 10 > 2 * _MEMORY * count


def listing(report: Report, effort: Effort) -> None:
    """Real QEMUs, from one to a full node and beyond; some that do not answer."""
    subjects = (OURS, *GANETI.values(), FLOOR)
    lines: dict[str, list[tuple[float, float]]] = {subject: [] for subject in subjects}
    full = [count for count in effort.guests if count <= 100][-1]
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, ExitStack() as stack:
        run_folder = Path(folder)
        guests: list[idle_guests.IdleGuest] = []
        pool = stack.enter_context(workers(subjects, run_folder))
        for count in effort.guests:
            if not _fits(count - len(guests)):
                break
            more = idle_guests.running(run_folder, count - len(guests), prefix=f"g{count}x")
            guests += stack.enter_context(more)
            request = {"task": "listing", "paths": [str(guest.qmp) for guest in guests]}
            rounds = effort.rounds if count <= 300 else 3
            series = compare(pool, {**request, "samples": 3}, rounds)
            for subject in subjects:
                lines[subject].append((count, series.spread(subject).middle * 1000))
            report.tables.append(Table(f"listing {count} guests", "ms", series, FLOOR))
            if count >= full:
                report.tables.append(
                    Table(f"listing {count} guests, CPU time", "ms", series, FLOOR, "cpu")
                )
            if count == full:
                report.bars.append(
                    Bar(f"listing {full} guests: at most 1.25 of a bare poll loop", 1.25,
                        series.ratio(OURS, FLOOR).middle)
                )  # fmt: skip
                _hung(report, guests, [worker for worker in pool if worker.subject != FLOOR])
            if count == 3 * full:
                _growth(report, effort, run_folder, guests)
    report.curves.append(Curve("listing", "GetAllInstancesInfo", "guests", "milliseconds", lines))


def _growth(
    report: Report, effort: Effort, run_folder: Path, guests: list[idle_guests.IdleGuest]
) -> None:
    """A third of the guests and all of them in the same rounds: what disturbs meets both."""
    few, most = len(guests) // 3, len(guests)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, ExitStack() as stack:
        for guest in guests[:few]:
            for path in (guest.qmp, guest.pidfile, guest.runtime):
                link = Path(folder) / path.relative_to(run_folder)
                link.parent.mkdir(exist_ok=True)
                link.symlink_to(path)
        pool, requests = [], {}
        for subject in (OURS, FLOOR):
            for count, where in ((few, Path(folder)), (most, run_folder)):
                (worker,) = stack.enter_context(workers([subject], where))
                worker.subject = f"{subject}, {count} guests"
                paths = [str(guest.qmp) for guest in guests[:count]]
                requests[worker.subject] = {"task": "listing", "paths": paths, "samples": 3}
                pool.append(worker)
        series = compare(pool, requests.__getitem__, effort.rounds)
    one, all_ = f"{OURS}, {few} guests", f"{OURS}, {most} guests"
    report.tables.append(Table(f"listing {few} and {most} guests in turn", "ms", series, one))
    report.bars.append(
        Bar(f"listing {most} guests: at most {most / few:g} times {few} of them, and a tenth",
            1.1 * most / few, series.ratio(all_, one).middle)
    )  # fmt: skip


DEADLINE = 2.0
#: Of a full node's guests.
HUNG = (1, 2, 5, 10, 20)


def _hung(report: Report, guests: list[idle_guests.IdleGuest], pool: list[Any]) -> None:
    """Monitors that take connections and say nothing: another client holds them."""
    request = {"task": "listing", "paths": [str(guest.qmp) for guest in guests], "samples": 1}
    lines: dict[str, list[tuple[float, float]]] = {worker.subject: [] for worker in pool}
    for count in HUNG:
        if count >= len(guests):
            continue
        series = _while_held(guests[:count], request, pool)
        for worker in pool:
            seconds = series.spread(worker.subject).middle
            lines[worker.subject].append((count, seconds))
        title = f"listing {len(guests)} guests, {count} of which hang"
        report.tables.append(Table(title, "ms", series, OURS))
        if count == 10:
            report.bars.append(
                Bar("listing with 10 that hang: at most the deadline of 2 s and a tenth",
                    1.1 * DEADLINE, max(series.rounds[OURS]["seconds"]))
            )  # fmt: skip
    title = f"GetAllInstancesInfo of {len(guests)} guests, some of which hang"
    report.curves.append(Curve("hung", title, "guests that hang", "seconds", lines))
    _stopped(report, guests, pool)


def _while_held(
    guests: list[idle_guests.IdleGuest], request: dict[str, object], pool: list[Any]
) -> Series:
    """What each of the pool takes while the monitors of these guests are somebody else's."""
    series = Series()
    for worker in pool:
        # with the originals each of them costs 5 s: one look must do
        for _ in range(3 if worker.subject == OURS else 1):
            with ExitStack() as held:
                for guest in guests:
                    client = clients.Bare(str(guest.qmp))
                    client.connect()
                    held.callback(client.close)
                (sample,) = worker.ask(request)
            for measure, number in sample.items():
                series.add(worker.subject, measure, number)
    return series


def _stopped(report: Report, guests: list[idle_guests.IdleGuest], pool: list[Any]) -> None:
    (ours,) = (worker for worker in pool if worker.subject == OURS)
    request = {"task": "listing", "paths": [str(guest.qmp) for guest in guests], "samples": 5}
    for guest in guests[: len(guests) // 10]:
        guest.stop()
    series = compare([ours], request, 3)
    for guest in guests[: len(guests) // 10]:
        guest.resume()
    title = f"listing {len(guests)} guests, {len(guests) // 10} of which are stopped (SIGSTOP)"
    report.tables.append(Table(title, "ms", series, OURS))
