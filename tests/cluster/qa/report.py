"""Writes what became of each of QA's tests with the original and with ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .configuration import NOT_HERE

SIDES = ("original", "ours")
Record = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """One system's runs."""

    title: str
    original: Record
    ours: Record

    def rows(self) -> list[tuple[str, Record | None, Record | None]]:
        """Each test by name, disk template and count, with its two outcomes."""
        named = [_by_name(record["tests"]) for record in (self.original, self.ours)]
        names = list(dict.fromkeys([*named[0], *named[1]]))
        return [(name, named[0].get(name), named[1].get(name)) for name in names]

    def lost(self) -> list[str]:
        """The tests that the original passes and ours does not; all, where there was no run."""
        if not self.ours["tests"] or not self.original["tests"]:
            return ["no run"]
        return [
            name
            for name, original, ours in self.rows()
            if original and original["passed"] and not (ours and ours["passed"])
        ]


def _by_name(tests: Sequence[Record]) -> dict[str, Record]:
    seen: Counter[str] = Counter()
    found = {}
    for test in tests:
        name = " ".join(filter(None, (test["test"].removeprefix("Test"), test["with"])))
        seen[name] += 1
        found[name if seen[name] == 1 else f"{name} ({seen[name]})"] = test
    return found


def write(path: Path, tables: Sequence[Table]) -> None:
    lines = [
        "# Ganeti's own QA",
        "",
        "Written by `make test-qa` (tests/cluster/qa): Ganeti's program `ganeti-qa.py`, as its",
        "package `ganeti-testsuite` has it, on a real cluster of two Ganeti nodes in namespaces,",
        "once with the original module on both nodes and once with ours. It would end at the first",
        "test that fails; here the next one follows.",
        "",
        "Not run, and why:",
        "",
        *(f"- {what}: {why}." for what, why in NOT_HERE.items()),
    ]
    for table in tables:
        lines += ["", f"## {table.title}", "", table.ours.get("versions", ""), ""]
        counts = [_count(record["tests"]) for record in (table.original, table.ours)]
        lines += [f"Passed: original {counts[0]}, ours {counts[1]}.", ""]
        lines += ["| test | original | s | ours | s |", "|--|--|--|--|--|"]
        for name, original, ours in table.rows():
            lines.append(f"| {name} | {_cell(original)} | {_cell(ours)} |")
    path.write_text("\n".join(lines) + "\n")


def _count(tests: Sequence[Record]) -> str:
    return f"{sum(test['passed'] for test in tests)} of {len(tests)}"


def _cell(test: Record | None) -> str:
    if test is None:
        return "not reached | "
    why = test["why"][:140].replace("|", "/")
    return f"{'passed' if test['passed'] else f'**failed**: {why}'} | {test['seconds']}"
