"""What is measured, of whom, and what was promised of it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from harness import idle_guests, paths

from . import awake, imports
from .clients import FLOOR, GANETI, OURS, OURS_INNER, QEMU_QMP, QMP
from .listing import listing
from .pool import Role, compare, workers
from .results import Bar, Curve, Effort, Report, Series, Table
from .stand_in import SizedMonitor
from .tasks import MARSHAL, ORJSON, PYTHON_JSON

RECORDED = paths.PROJECT / "tests/data/qmp/7.2"
WIRE = (FLOOR, OURS, OURS_INNER, GANETI["3.0"], GANETI["3.1"], QEMU_QMP, QMP)
NODES = (OURS, GANETI["3.0"], GANETI["3.1"])


FULL = Effort(9, 8, (1, 3, 10, 30, 100, 300, 1000), (1 << 10, 1 << 14, 1 << 17, 1 << 20, 1 << 22))
QUICK = Effort(3, 3, (1, 10), (1 << 10, 1 << 17))


def wire(report: Report, effort: Effort) -> None:
    """One real QEMU, one client at a time."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, ExitStack() as stack:
        stack.enter_context(awake.one_for_all())
        (guest,) = stack.enter_context(idle_guests.running(Path(folder), 1))
        pool = stack.enter_context(workers(WIRE))
        path = str(guest.qmp)
        status = {"task": "commands", "path": path, "command": "query-status", "times": 100}
        status["samples"] = effort.samples
        on_open = compare(pool, status, effort.rounds)
        connect = {"task": "connections", "path": path, "times": 20, "samples": effort.samples}
        whole = compare(pool, connect, effort.rounds)
        large = {**status, "command": "query-qmp-schema", "times": 3, "samples": 2}
        schema = compare(pool, large, effort.rounds)
    report.tables += [
        Table("query-status on an open connection", "µs", on_open, FLOOR),
        Table("the same, the client's CPU time", "µs", on_open, FLOOR, "cpu"),
        Table("connect, query-status, close", "µs", whole, FLOOR),
        Table("the same, the client's CPU time", "µs", whole, FLOOR, "cpu"),
        Table("query-qmp-schema (207 kB) on an open connection", "ms", schema, FLOOR),
        Table("the same, the client's CPU time", "ms", schema, FLOOR, "cpu"),
    ]
    report.bars += [
        Bar("query-status: at most 1.05 of a bare socket", 1.05,
            on_open.ratio(OURS, FLOOR).middle),
        Bar("connect and one command, in operations: at most 1.15 of a bare socket", 1.15,
            whole.ratio(OURS_INNER, FLOOR).middle),
        Bar("connect and one command, the public class: no slower than Ganeti 3.0.2's", 1.0,
            whole.ratio(OURS, GANETI["3.0"]).middle),
        Bar("client CPU of a command: at most two fifths of Ganeti 3.1's", 0.4,
            on_open.ratio(OURS, GANETI["3.1"], "cpu").middle),
    ]  # fmt: skip


def replies(report: Report, effort: Effort) -> None:
    """Replies of growing size, from a stand-in that takes no time to make them."""
    subjects = (OURS, *GANETI.values(), QEMU_QMP, QMP, FLOOR)
    lines: dict[str, list[tuple[float, float]]] = {subject: [] for subject in subjects}
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, workers(subjects) as pool:
        path = Path(folder) / "qmp"
        monitor = SizedMonitor(path)
        for size in effort.sizes:
            monitor.set_size(size)
            times = max(1, min(50, (1 << 19) // size))
            request = {"task": "commands", "path": str(path), "command": "query-status"}
            request |= {"times": times, "samples": 2}
            series = compare(pool, request, max(3, effort.rounds // 3))
            for subject in subjects:
                lines[subject].append((size / 1024, series.spread(subject).middle * 1000))
        report.tables.append(Table(f"a reply of {size >> 10} KiB, decoded", "ms", series, FLOOR))
        monitor.close()
    report.curves.append(
        Curve("replies", "A reply, from the socket to objects", "KiB", "milliseconds", lines)
    )


def decoding(report: Report, effort: Effort) -> None:
    """Recorded replies, from bytes to objects."""
    subjects = (OURS, ORJSON, PYTHON_JSON)
    names = ("query-qmp-schema", "query-pci-disks", "query-block-disks", "query-named-block-nodes")
    with workers(["decoders"]) as (worker,):
        pool = [Role(worker, subject) for subject in subjects]

        def measure(path: Path, copies: int) -> Series:
            size = path.stat().st_size * copies
            request: dict[str, Any] = {"task": "decoding", "path": str(path), "copies": copies}
            request |= {"times": max(1, 200_000 // size), "samples": 3 * effort.samples}
            return compare(pool, request, effort.rounds)

        for name in names:
            path = RECORDED / f"{name}.json"
            series, size = measure(path, 1), path.stat().st_size
            unit = "µs" if size < 10_000 else "ms"
            report.tables.append(Table(f"decoding {name} ({size} bytes)", unit, series, ORJSON))
            report.bars.append(
                Bar(f"decoding {name}: at most twice as long as orjson", 2.0,
                    series.ratio(OURS, ORJSON).middle)
            )  # fmt: skip
        pool.append(Role(worker, MARSHAL))
        series = measure(RECORDED / "query-qmp-schema.json", 20)
        report.tables.append(Table("decoding 4 MiB of schema", "ms", series, ORJSON))
        with tempfile.NamedTemporaryFile("w", dir="/tmp") as file:
            lines = [f"{number:08} " + "x" * 70 for number in range(50_000)]
            json.dump({"return": lines}, file)
            file.flush()
            series = measure(Path(file.name), 1)
        report.tables.append(Table("decoding 4 MiB of text", "ms", series, ORJSON))


def start(report: Report, effort: Effort) -> None:
    """StartInstance, less QEMU's own start."""
    with workers(NODES) as pool:
        request = {"task": "start", "samples": max(2, effort.samples // 3)}
        cold = compare(pool, {**request, "cold": True}, max(2, effort.rounds // 3))
        warm = compare(pool, {**request, "cold": False}, max(2, effort.rounds // 3))
    fastest = min(GANETI.values(), key=lambda peer: warm.spread(peer).middle)
    report.tables += [
        Table("StartInstance less QEMU's start, nothing known of the binary", "ms", cold, OURS),
        Table("StartInstance less QEMU's start, after others", "ms", warm, OURS),
    ]
    report.bars.append(
        Bar(f"StartInstance, warm, less QEMU's start: at most a quarter of {fastest}'s", 0.25,
            warm.ratio(OURS, fastest).middle)
    )  # fmt: skip


def taps(report: Report, effort: Effort) -> None:
    """Opening a TAP device."""
    with workers((*NODES, FLOOR)) as pool:
        series = compare(pool, {"task": "taps", "samples": 5 * effort.samples}, effort.rounds)
    report.tables += [
        Table("OpenTap", "µs", series, FLOOR),
        Table("OpenTap, CPU time", "µs", series, FLOOR, "cpu"),
    ]


def importing(report: Report, effort: Effort) -> None:
    """Importing ganeti.hypervisor.hv_kvm in a new process."""
    series = imports.measure(NODES, 2 * effort.rounds)
    report.tables += [
        Table("import of ganeti.hypervisor.hv_kvm, Ganeti's own modules there", "ms", series, OURS),
        Table("the same with all of Ganeti that it needs", "ms", series, OURS, "whole"),
        Table("the same, memory", "MiB", series, OURS, "memory"),
    ]
    for peer in GANETI.values():
        report.bars.append(
            Bar(f"import with all of Ganeti that it needs: at most 1.15 of {peer}'s", 1.15,
                series.ratio(OURS, peer, "whole").middle)
        )  # fmt: skip


SUITES: dict[str, Callable[[Report, Effort], None]] = {
    "wire": wire,
    "replies": replies,
    "decoding": decoding,
    "listing": listing,
    "start": start,
    "taps": taps,
    "import": importing,
}


def run(names: Iterable[str], effort: Effort, say: Callable[[str], None]) -> Report:
    """Runs suites one after the other."""
    report = Report()
    for name in names:
        say(name)
        SUITES[name](report, effort)
    return report
