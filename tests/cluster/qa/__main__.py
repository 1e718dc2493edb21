"""Ganeti's own QA on the two-node cluster, once with the original and once with ours.

    python -m cluster.qa [--rows debian12] [--modules original,ours] [--jobs 2] REPORT

Its exit status tells whether ours passed each test that the original passed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cluster.harness import systems
from cluster.harness.cluster import Cluster
from cluster.qa import report
from cluster.qa.configuration import configuration
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
    parser.add_argument("--one", metavar="ROW", help="inside the sandbox: one run")
    parser.add_argument("report", type=Path, nargs="?")
    arguments = parser.parse_args()
    modules = arguments.modules.split(",")
    if arguments.one:
        return one_run(systems.ALL[arguments.one], modules[0])
    rows = [systems.ALL[name] for name in arguments.rows.split(",")]
    for row in rows:
        subprocess.run([str(_SETUP), row.name], check=True)
    _RESULTS.mkdir(parents=True, exist_ok=True)
    runs = [(row, module) for row in rows for module in modules]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(lambda run: start(*run), runs))
    tables = [report.Table(row.title, *(read(row, side) for side in report.SIDES)) for row in rows]
    report.write(arguments.report, tables)
    lost = [f"{table.title}: {name}" for table in tables for name in table.lost()]
    print("\n".join(["ours fails where the original passes:", *lost] if lost else ["none lost"]))
    return bool(lost)


def start(row: systems.System, module: str) -> None:
    """One run, in a sandbox of its own; the machine is compared before and after."""
    begin = time.monotonic()
    place(row, module, "jsonl").unlink(missing_ok=True)
    outside = [sys.executable, "-m", "cluster.harness.outside"]
    inside = [sys.executable, "-m", "cluster.qa", "--one", row.name, "--modules", module]
    with place(row, module, "log").open("w") as log:
        subprocess.run([*outside, *inside], stdout=log, stderr=log, check=False)
    found = read(row, module)
    passed = sum(line["passed"] for line in found["tests"])
    seconds = time.monotonic() - begin
    print(f"{row.name}, {module}: {passed} of {len(found['tests'])}, {seconds:.0f} s", flush=True)


def one_run(row: systems.System, module: str) -> int:
    harness_node.require_sandbox()
    cluster = Cluster(row)
    try:
        master = cluster.master
        for node in cluster.nodes:
            node.write("/etc/default/ganeti", 'RAPI_ARGS="-b 0.0.0.0 --require-authentication"\n')
        cluster.initialize((module, module))
        for node in cluster.nodes:
            node.write("/var/lib/ganeti/rapi/users", "ganeti-qa secret write\n", 0o640)
            node.shell("chown gnt-rapi:gnt-masterd /var/lib/ganeti/rapi/users")
        master.daemon("restart", "ganeti-rapi")
        for node in cluster.nodes:
            prepare(cluster, node)
        code = f"/usr/share/ganeti/{cluster.generation}"
        master.write("/root/qa.json", json.dumps(configuration(cluster.generation)))
        master.write("/root/inside.py", _INSIDE.read_text())
        master.write("/root/record.jsonl", json.dumps({"versions": cluster.versions()}) + "\n")
        arguments = [code, "/usr/share/ganeti/testsuite", "/root/qa.json", "/root/record.jsonl"]
        process = master.namespaces.start("/usr/bin/python3", "/root/inside.py", *arguments)
        timer = time.monotonic() + _LIMIT
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            place(row, module, "jsonl").write_text(master.path("/root/record.jsonl").read_text())
            if time.monotonic() > timer:
                print("the limit of time is over")
                break
        cluster.save_logs(place(row, module, "logs"))
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


def place(row: systems.System, module: str, kind: str) -> Path:
    """Where a run's record, log or Ganeti's logs are kept."""
    return _RESULTS / f"{row.name}-{module}.{kind}"


def read(row: systems.System, module: str) -> dict[str, Any]:
    """A run's record: {"versions", "tests"}; without tests if there was no run."""
    path = place(row, module, "jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    first = lines[0] if lines else {"versions": ""}
    return {**first, "tests": lines[1:]}


if __name__ == "__main__":
    sys.exit(main())
