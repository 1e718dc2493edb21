"""Gives each operation each fault, and writes down what came of it.

    python -m inject [--most FAULTS] [--only OPERATION] [--call CALL] [--rows FILE] [--ganeti 3.0]

The exit status is 1 if anything went wrong.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from harness import node

from . import faults, judge, report
from .operations import OPERATIONS, Bench
from .report import Row
from .tracee import Fault

#: Of calls that look the same: some, for the first may be another's.
_EACH = 12


def _chosen(cases: list[tuple[Fault, str]], seed: str) -> list[tuple[Fault, str]]:
    """All of them, in an order in which every kind of call comes early; the same in each run."""
    mixed = sorted(cases, key=lambda case: (case[0].call, case[0].ordinal, case[0].error))
    random.Random(seed).shuffle(mixed)
    counts: dict[str, int] = {}
    ranked = []
    for case in mixed:
        counts[case[0].call] = counts.get(case[0].call, 0) + 1
        ranked.append((counts[case[0].call], case))
    return [case for _, case in sorted(ranked, key=lambda pair: pair[0])]


def _run(bench: Bench, name: str, most: int, calls: list[str] | None) -> Iterator[Row]:
    case = judge.Case(bench, OPERATIONS[name])
    expected = case.record()
    roots = [str(made.root) for made in bench.nodes.values()]
    cases = _chosen(list(faults.points(name, expected.outcome.calls, roots, _EACH)), name)
    wanted = [one for one in cases if not calls or one[0].call in calls]
    for fault, kind in wanted[:most]:
        verdict, outcome = case.run(fault, expected)
        hit = faults.what(outcome.hit, roots) if outcome.hit else kind
        row = Row(name, fault.call, fault.error, hit, verdict.outcome, verdict.why)
        if verdict.outcome == judge.WRONG:
            print(f"WRONG: {name}: {fault} at {hit}\n    {verdict.why}", flush=True)
        yield row


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--most", type=int, default=sys.maxsize, help="faults an operation")
    parser.add_argument("--only", action="append", help="an operation")
    parser.add_argument("--call", action="append", help="a system call")
    parser.add_argument("--rows", type=Path, help="for inject.together, as JSON")
    parser.add_argument("--ganeti", default="3.0")
    options = parser.parse_args()
    names = options.only or list(OPERATIONS)
    node.make_bridge()
    start = time.monotonic()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="inj") as folder:
        bench = Bench(options.ganeti, Path(folder))
        try:
            for name in names:
                found = list(_run(bench, name, options.most, options.call))
                rows += found
                wrong = sum(row.outcome == judge.WRONG for row in found)
                print(f"{name}: {len(found)} faults, {wrong} wrong", flush=True)
        finally:
            bench.close()
    seconds = time.monotonic() - start
    print(report.summary(rows, seconds))
    if options.rows:
        options.rows.write_text(json.dumps(rows))
    return int(any(row.outcome == judge.WRONG for row in rows))


if __name__ == "__main__":
    sys.exit(main())
