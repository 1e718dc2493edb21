"""Writes the table of a run: for each system, what each module did at each step."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MODULES = ("original", "ours")
_LONGEST_REASON = 160
_GROUPS = {
    "cluster": "The cluster",
    "life": "The life of an instance",
    "migration": "Migration",
    "options": "Hypervisor parameters",
    "faults": "Faults",
    "many": "Ten instances",
    "mixed": "The original on one node, ours on the other",
}


@dataclass
class Row:
    """One system: the versions that were really there, and the records of its runs."""

    title: str
    versions: str = ""
    unreachable: str = ""
    records: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def read_record(path: Path) -> dict[str, Any]:
    """What conftest.py wrote at the end of a run."""
    record: dict[str, Any] = json.loads(path.read_text())
    return record


def table(row: Row) -> list[str]:
    lines = ["", f"## {row.title}", ""]
    if row.unreachable:
        return [*lines, f"Not reached: {row.unreachable}"]
    lines.append(row.versions)
    for group, heading in _GROUPS.items():
        lines += _group(row, group, heading)
    return lines


def _overview(rows: Sequence[Row]) -> list[str]:
    lines = ["", "Steps that work, and seconds for all:", "", "| | original | ours |", "|--|--|--|"]
    for row in rows:
        cells = [summary(row.records.get(module, [])) for module in MODULES]
        lines.append(f"| {row.title} | {' | '.join(cells)} |")
    return lines


def summary(steps: Sequence[dict[str, Any]]) -> str:
    if not steps:
        return "not run"
    steps = [step for step in steps if step["group"] in _GROUPS]
    outcomes = [step["outcome"] for step in steps]
    seconds = sum(step["seconds"] for step in steps)
    possible = len(outcomes) - outcomes.count("skipped")
    return f"{outcomes.count('passed')} of {possible}, {seconds:.0f} s"


def _group(row: Row, group: str, heading: str) -> list[str]:
    by_step: dict[str, dict[str, dict[str, Any]]] = {}
    for module, steps in row.records.items():
        for step in steps:
            if step["group"] == group:
                by_step.setdefault(step["step"], {})[module] = step
    if not by_step:
        return []
    lines = ["", f"### {heading}", "", "| step | original | s | ours | s |", "|--|--|--|--|--|"]
    for name, modules in by_step.items():
        cells = [cell for module in MODULES for cell in _cells(modules.get(module))]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _cells(step: dict[str, Any] | None) -> tuple[str, str]:
    if step is None:
        return "", ""
    text = "works"
    if step["outcome"] != "passed":
        reason = " ".join(step["why"].replace("|", "\\|").split())
        word = "not possible" if step["outcome"] == "skipped" else "**fails**"
        text = f"{word}: {reason[:_LONGEST_REASON]}"
    if step["figures"]:
        text += f" ({'; '.join(step['figures'])})"
    return text, f"{step['seconds']:.1f}"


def write(path: Path, rows: Sequence[Row], jobs: int) -> None:
    """The report of runs of which so many went on at the same time."""
    head = [
        "# Two nodes, one run",
        "",
        "Written by `make test-cluster-matrix` (tests/cluster): each step on a real cluster of",
        "two Ganeti nodes in namespaces, driven by Ganeti's own commands, with guests under",
        "software emulation. Seconds are those of the step in this run, commands and waiting for",
        "the guest included; a step that fails shows the first line of why.",
        f"Runs at the same time: {jobs}, on {os.cpu_count()} CPUs.",
    ]
    lines = [*head, *_overview(rows), *(line for row in rows for line in table(row))]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
