"""Runs the steps on each system with each module, and writes the report.

``python -m cluster.harness.matrix [--rows debian12,backports] [--modules ours,original] REPORT``
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from harness import paths

from . import report, systems

_RESULTS = paths.WORK / "cluster/results"
_SETUP = paths.PROJECT / "tests/setup/cluster_system.sh"
_STEPS = paths.PROJECT / "tests/cluster"


def run(system: systems.System, module: str, options: Sequence[str]) -> int:
    """One run; its record is in the folder of results afterwards."""
    record, logs = _RESULTS / f"{system.name}-{module}.json", _RESULTS / f"{system.name}-{module}"
    record.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "CLUSTER_ROW": system.name,
        "CLUSTER_MODULES": module,
        "CLUSTER_RESULTS": str(record),
        "CLUSTER_LOGS": str(logs),
    }
    # Steps with both modules belong to neither; they are in the run of ours.
    marks = [] if module == "ours" else ["--deselect", str(_STEPS / "test_mixed.py")]
    pytest = [sys.executable, "-m", "pytest", "--tb=short", *marks, *options, str(_STEPS)]
    outside = [sys.executable, "-m", "cluster.harness.outside"]
    print(f"\n=== {system.title}: {module}", flush=True)
    return subprocess.run([*outside, *pytest], env=environment, check=False).returncode


def gather(rows: Sequence[systems.System], unreachable: dict[str, str]) -> list[report.Row]:
    gathered = []
    for system in rows:
        row = report.Row(system.title, unreachable=unreachable.get(system.name, ""))
        for module in report.MODULES:
            path = _RESULTS / f"{system.name}-{module}.json"
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
    parser.add_argument("--gather", action="store_true", help="write the report of the last runs")
    parser.add_argument("report", type=Path)
    parser.add_argument("options", nargs="*", help="for pytest")
    arguments = parser.parse_args()
    rows = [systems.ALL[name] for name in arguments.rows.split(",")]
    _RESULTS.mkdir(parents=True, exist_ok=True)
    unreachable: dict[str, str] = {}
    status = 0
    for system in [] if arguments.gather else rows:
        prepared = subprocess.run([str(_SETUP), system.name], stderr=subprocess.PIPE, text=True)
        print(prepared.stderr, end="")
        if prepared.returncode:
            unreachable[system.name] = prepared.stderr.strip().splitlines()[-1]
            status = 1
            continue
        for module in arguments.modules.split(","):
            result = run(system, module, arguments.options)
            # That the original fails at a step is a finding, not a failure of ours.
            status = status or (result if module == "ours" else 0)
    report.write(arguments.report, gather(rows, unreachable))
    return status


if __name__ == "__main__":
    sys.exit(main())
