"""What was found, for people: tables and bars as Markdown, curves as pictures."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import paths

from . import curves
from .results import Report, Spread, Table

_FACTOR = {"µs": 1e6, "ms": 1e3, "MiB": 1.0}
_REGION = re.compile(r"(<!-- measured: begin -->\n).*?(<!-- measured: end -->)", re.DOTALL)


def markdown(report: Report) -> str:
    """All tables and bars."""
    parts = [*_machine(report), "", "### What was promised", "", *_bars(report), ""]
    parts += ["### What was found", ""]
    for table in report.tables:
        parts += [*_table(table), ""]
    return "\n".join(parts)


def _machine(report: Report) -> Iterator[str]:
    command = [str(paths.QEMU), "--version"]
    qemu = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    yield (
        f"{os.cpu_count()} CPUs, Linux {platform.release().partition('-')[0]}, Python"
        f" {platform.python_version()}, {qemu.splitlines()[0].partition(' (')[0]}; load before"
        f" {report.load:.1f}."
    )


def _bars(report: Report) -> Iterator[str]:
    yield "| promise | found | |"
    yield "|--|--|--|"
    for bar in report.bars:
        verdict = "met" if bar.is_met else "**not met**"
        yield f"| {bar.promise} | {bar.found:.2f} (limit {bar.limit:.2f}) | {verdict} |"


def _table(table: Table) -> Iterator[str]:
    yield f"| {table.title} | median {table.unit} | middle half | times {table.base} |"
    yield "|--|--|--|--|"
    order = sorted(
        table.series.subjects(), key=lambda name: table.series.spread(name, table.measure).middle
    )
    for subject in order:
        spread = table.series.spread(subject, table.measure)
        yield (
            f"| {subject} | {_number(spread.middle, table.unit)} |"
            f" {_number(spread.low, table.unit)} to {_number(spread.high, table.unit)} |"
            f" {_ratio(table, subject)} |"
        )


def _number(value: float, unit: str) -> str:
    return f"{value * _FACTOR[unit]:.3g}"


def _ratio(table: Table, subject: str) -> str:
    if subject == table.base:
        return "1"
    mine, base = (table.series.rounds[name][table.measure] for name in (subject, table.base))
    if len(mine) == len(base):
        ratio = table.series.ratio(subject, table.base, table.measure)
        return f"{ratio.middle:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
    return f"{Spread.of(mine).middle / Spread.of(base).middle:.2f}"


def write(report: Report, folder: Path) -> None:
    """Leaves everything in ``folder``: tables, pictures, and the numbers themselves."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tables.md").write_text(markdown(report))
    for curve in report.curves:
        (folder / f"{curve.name}.svg").write_text(curves.draw(curve))
    (folder / "numbers.json").write_text(json.dumps(_numbers(report), indent=1) + "\n")


def _numbers(report: Report) -> list[dict[str, Any]]:
    return [
        {"title": table.title, "measure": table.measure, "rounds": table.series.as_json()}
        for table in report.tables
    ]


def publish(report: Report, page: Path) -> None:
    """Replaces what the page says of the last run, and the pictures beside it."""
    text = page.read_text()
    tables = markdown(report)
    page.write_text(_REGION.sub(lambda found: f"{found[1]}{tables}{found[2]}", text))
    pictures = page.parent / "performance"
    pictures.mkdir(exist_ok=True)
    for curve in report.curves:
        (pictures / f"{curve.name}.svg").write_text(curves.draw(curve))
