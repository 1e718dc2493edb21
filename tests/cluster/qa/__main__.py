"""Ganeti's own QA on the two-node cluster, once with the original and once with ours.

    python -m cluster.qa [--rows debian12] [--modules original,ours] [--jobs 2] [--gather] REPORT

Each disk template is a run of its own, on a cluster of its own.

Its exit status tells whether ours passed each test that the original passed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.harness import systems
from cluster.harness.cluster import Cluster
from cluster.qa import report
from cluster.qa.configuration import TEMPLATES, configuration
from harness import node as harness_node
from harness import paths

_RESULTS = paths.WORK / "cluster/qa"
_SETUP = paths.PROJECT / "tests/setup/cluster_system.sh"
_INSIDE = Path(__file__).with_name("inside.py")
_LIMIT = 2400.0  # seconds, for all tests of a run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="debian12")
    parser.add_argument("--modules", default="original,ours")
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time")
    parser.add_argument("--templates", default=",".join(TEMPLATES))
    parser.add_argument("--gather", action="store_true", help="write the report of the last runs")
    parser.add_argument("--one", metavar="ROW", help="inside the sandbox: one run")
    parser.add_argument("report", type=Path, nargs="?")
    arguments = parser.parse_args()
    modules, templates = arguments.modules.split(","), arguments.templates.split(",")
    if arguments.one:
        return one_run(Run(systems.ALL[arguments.one], modules[0], templates[0]))
    rows = [systems.ALL[name] for name in arguments.rows.split(",")]
    if not arguments.gather:
        for row in rows:
            subprocess.run([str(_SETUP), row.name], check=True)
        _RESULTS.mkdir(parents=True, exist_ok=True)
        runs = [Run(*parts) for parts in itertools.product(rows, modules, templates)]
        # Both modules of a template at the same time: the same load for both.
        with ThreadPoolExecutor(arguments.jobs) as pool:
            list(pool.map(start, sorted(runs, key=lambda run: run.template)))
    tables = [
        report.Table(row.title, *(gather(row, side, templates) for side in report.SIDES))
        for row in rows
    ]
    report.write(arguments.report, tables)
    lost = [f"{table.title}: {name}" for table in tables for name in table.lost()]
    print("\n".join(["ours fails where the original passes:", *lost] if lost else ["none lost"]))
    return bool(lost)


@dataclass(frozen=True)
class Run:
    """QA, once."""

    row: systems.System
    module: str
    template: str

    def place(self, kind: str) -> Path:
        """Where its record ("jsonl"), what it printed ("log"), Ganeti's logs ("logs") are kept."""
        return _RESULTS / f"{self.row.name}-{self.module}-{self.template}.{kind}"

    def record(self) -> dict[str, Any]:
        """{"versions", "tests"}; without tests if there was no run."""
        path = self.place("jsonl")
        lines = [json.loads(one) for one in path.read_text().splitlines()] if path.exists() else []
        return {**(lines[0] if lines else {"versions": ""}), "tests": lines[1:]}


def start(run: Run) -> None:
    """One run, in a sandbox of its own; the machine is compared before and after."""
    begin = time.monotonic()
    run.place("jsonl").unlink(missing_ok=True)
    outside = [sys.executable, "-m", "cluster.harness.outside"]
    inside = [sys.executable, "-m", "cluster.qa", "--one", run.row.name]
    inside += ["--modules", run.module, "--templates", run.template]
    with run.place("log").open("w") as log:
        subprocess.run([*outside, *inside], stdout=log, stderr=log, check=False)
    tests = run.record()["tests"]
    passed = sum(test["passed"] for test in tests)
    what = f"{run.row.name}, {run.module}, {run.template}"
    print(f"{what}: {passed} of {len(tests)}, {time.monotonic() - begin:.0f} s", flush=True)


def one_run(run: Run) -> int:
    """Inside the sandbox."""
    harness_node.require_sandbox()
    cluster = Cluster(run.row)
    try:
        master = cluster.master
        for node in cluster.nodes:
            node.write("/etc/default/ganeti", 'RAPI_ARGS="-b 0.0.0.0 --require-authentication"\n')
        cluster.initialize((run.module, run.module))
        for node in cluster.nodes:
            node.write("/var/lib/ganeti/rapi/users", "ganeti-qa secret write\n", 0o640)
            node.shell("chown gnt-rapi:gnt-masterd /var/lib/ganeti/rapi/users")
        master.daemon("restart", "ganeti-rapi")
        for node in cluster.nodes:
            prepare(cluster, node)
        code = f"/usr/share/ganeti/{cluster.generation}"
        master.write("/root/qa.json", json.dumps(configuration(run.template)))
        master.write("/root/inside.py", _INSIDE.read_text())
        master.write("/root/record.jsonl", json.dumps({"versions": cluster.versions()}) + "\n")
        arguments = [code, "/usr/share/ganeti/testsuite", "/root/qa.json", "/root/record.jsonl"]
        process = master.namespaces.start("/usr/bin/python3", "/root/inside.py", *arguments)
        timer = time.monotonic() + _LIMIT
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            run.place("jsonl").write_text(master.path("/root/record.jsonl").read_text())
            if time.monotonic() > timer:
                print("the limit of time is over")
                break
        cluster.save_logs(run.place("logs"))
    finally:
        cluster.close()
    return 0


def prepare(cluster: Cluster, node: Any) -> None:
    """What QA expects of a node, and what this machine's kernel lacks."""
    names = " ".join(one.name for one in cluster.nodes)
    node.shell(f"ssh-keyscan -t rsa,ed25519 {names} >/root/.ssh/known_hosts 2>/dev/null")
    if not Path("/proc/sysrq-trigger").exists():
        # `gnt-cluster verify` would complain after each test. Ganeti would look, and not use it.
        code = f"/usr/share/ganeti/{cluster.generation}/ganeti/backend.py"
        node.shell(f"sed -i s#/proc/sysrq-trigger#/proc/version# {code}")
        node.daemon("restart")


def gather(row: systems.System, module: str, templates: Sequence[str]) -> dict[str, Any]:
    """The records of all templates as one; what has no instance is told once."""
    records = [Run(row, module, template).record() for template in templates]
    tests = [
        test
        for number, record in enumerate(records)
        for test in record["tests"]
        if test["with"] or number == 0
    ]
    return {"versions": records[0]["versions"], "tests": tests}


if __name__ == "__main__":
    sys.exit(main())
