"""Runs the steps on each system with each module, several runs at once, and writes the report.

``python -m cluster.harness.matrix [--rows debian12,backports] [--modules ours,original] [--jobs 2]
REPORT [-- OPTION FOR PYTEST...]``: its exit status tells whether every step of ours passed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness import paths

from . import report, systems

_RESULTS = paths.WORK / "cluster/results"
_SETUP = paths.PROJECT / "tests/setup/cluster_system.sh"
_STEPS = paths.PROJECT / "tests/cluster"


def run(system: systems.System, module: str, options: Sequence[str]) -> bool:
    """One run; its record and what it printed are in the folder of results afterwards."""
    record = _result(system, module, ".json")
    environment = {
        **os.environ,
        "CLUSTER_ROW": system.name,
        "CLUSTER_MODULES": module,
        "CLUSTER_RESULTS": str(record),
        "CLUSTER_LOGS": str(_result(system, module, "")),
    }
    # Steps with both modules belong to neither; they are in the run of ours.
    marks = [] if module == "ours" else [f"--ignore={_STEPS / 'test_mixed.py'}"]
    pytest = [sys.executable, "-m", "pytest", "--tb=short", *marks, *options, str(_STEPS)]
    outside = [sys.executable, "-m", "cluster.harness.outside"]
    print(f"{system.name}, {module}: begins", flush=True)
    begin = time.monotonic()
    with record.with_suffix(".log").open("w") as log:
        command = [*outside, *pytest]
        status = subprocess.run(command, env=environment, stdout=log, stderr=log, check=False)
    count = report.summary(report.read_record(record)["steps"]) if record.exists() else "no step"
    print(f"{system.name}, {module}: {count}; {time.monotonic() - begin:.0f} s in all", flush=True)
    return status.returncode == 0


def _result(system: systems.System, module: str, suffix: str) -> Path:
    return _RESULTS / f"{system.name}-{module}{suffix}"


def prepare(rows: Sequence[systems.System]) -> Iterator[tuple[systems.System, str]]:
    """Fetches what each system is made of; why it cannot be had, or an empty text."""
    for system in rows:
        done = subprocess.run([str(_SETUP), system.name], stderr=subprocess.PIPE, text=True)
        print(done.stderr, end="", flush=True)
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        yield system, last if done.returncode else ""


def gather(rows: Sequence[systems.System], unreachable: dict[str, str]) -> list[report.Row]:
    gathered = []
    for system in rows:
        row = report.Row(system.title, unreachable=unreachable.get(system.name, ""))
        for module in report.MODULES:
            path = _result(system, module, ".json")
            if path.exists() and not row.unreachable:
                record = report.read_record(path)
                row.records[module] = record["steps"]
                row.versions = f"{record['versions']} {system.note}".strip()
        gathered.append(row)
    return gathered


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default=",".join(systems.ALL))
    parser.add_argument("--modules", default="ours,original")
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time")
    parser.add_argument("--gather", action="store_true", help="write the report of the last runs")
    parser.add_argument("report", type=Path)
    parser.add_argument("options", nargs="*", help="for pytest")
    arguments = parser.parse_args()
    rows = [systems.ALL[name] for name in arguments.rows.split(",")]
    unreachable: dict[str, str] = {}
    passed = True
    if not arguments.gather:
        unreachable = {system.name: why for system, why in prepare(rows) if why}
        reached = [system for system in rows if system.name not in unreachable]
        runs = [(system, module) for system in reached for module in arguments.modules.split(",")]
        passed = run_all(runs, arguments.jobs, arguments.options) and not unreachable
    report.write(arguments.report, gather(rows, unreachable), arguments.jobs)
    return 0 if passed else 1


def run_all(runs: Sequence[tuple[systems.System, str]], jobs: int, options: Sequence[str]) -> bool:
    """Whether ours passed; that the original fails at a step is a finding, no failure of ours."""
    _RESULTS.mkdir(parents=True, exist_ok=True)
    for system, module in runs:
        _result(system, module, ".json").unlink(missing_ok=True)
    with ThreadPoolExecutor(jobs) as pool:
        results = list(pool.map(lambda one: run(*one, options), runs))
    return all(ok for (_, module), ok in zip(runs, results, strict=True) if module == "ours")


if __name__ == "__main__":
    sys.exit(main())
