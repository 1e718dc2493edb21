"""Gives each operation its faults in a sandbox of its own, some operations at a time.

    python -m inject.together [--jobs 2] [--most FAULTS] [--report FILE] [--ganeti 3.0]

Each operation is a process of its own (`python -m inject --only OPERATION`): two need nothing of
each other, and one that breaks off leaves the rows of the others. The exit status is 1 if anything
went wrong, or if an operation did not come to its end; then no report is written.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness import paths

from . import judge, report
from .operations import OPERATIONS
from .report import Row

_SANDBOX = paths.PROJECT / "tests/harness/sandbox"


def _operation(name: str, folder: Path, passed: list[str]) -> list[Row] | None:
    """The rows of one operation; None if it broke off."""
    file = folder / f"{name}.json"
    command = [sys.executable, "-u", "-m", "inject", "--only", name, "--rows", str(file), *passed]
    begin = time.monotonic()
    done = subprocess.run(
        [str(_SANDBOX), *command],
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if not file.exists():
        print(f"{name}: broke off\n{done.stdout}", flush=True)
        return None
    rows = [Row(*row) for row in json.loads(file.read_text())]
    wrong = [row for row in rows if row.outcome == judge.WRONG]
    seconds = time.monotonic() - begin
    print(f"{name}: {len(rows)} faults, {len(wrong)} wrong, {seconds:.0f} s", flush=True)
    for row in wrong:
        print(f"  {row.call} {row.error} at {row.hit}\n    {row.why}", flush=True)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--most", help="faults an operation")
    parser.add_argument("--report", type=Path)
    parser.add_argument("--junit", type=Path, help="for check_all")
    parser.add_argument("--ganeti", default="3.0")
    options = parser.parse_args()
    passed = ["--ganeti", options.ganeti, *(["--most", options.most] if options.most else [])]
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        found = list(pool.map(lambda name: _operation(name, Path(folder), passed), OPERATIONS))
    rows = [row for one in found if one is not None for row in one]
    print(report.summary(rows, time.monotonic() - start))
    if options.junit:
        options.junit.parent.mkdir(parents=True, exist_ok=True)
        options.junit.write_text(report.junit(rows))
    whole = None not in found
    if options.report and whole:
        options.report.write_text(report.document(rows, options.ganeti))
    return int(not whole or any(row.outcome == judge.WRONG for row in rows))


if __name__ == "__main__":
    sys.exit(main())
