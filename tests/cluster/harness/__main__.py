"""The cluster by hand: ``up``, ``shell NODE [COMMAND...]``, ``down``.

CLUSTER_ROW chooses the system (see systems.py), CLUSTER_MODULES the modules of both nodes, such as
"ours,original".
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from cluster.harness import outside, systems
from cluster.harness.cluster import OURS, Cluster
from harness import paths

_STATE = paths.WORK / "cluster/running.json"
_LOG = paths.WORK / "cluster/up.log"
_UP_TIMEOUT = 180.0


def up() -> int:
    if _sandbox() is not None:
        print("the cluster is up already")
        return 0
    _STATE.parent.mkdir(parents=True, exist_ok=True)
    _STATE.unlink(missing_ok=True)
    before = outside.snapshot()
    command = [sys.executable, str(Path(__file__)), "hold"]
    with _LOG.open("wb") as log:
        sandbox = outside.start_sandbox(
            *command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _follow(sandbox)
    except BaseException:
        sandbox.kill()
        sandbox.wait()
        _STATE.unlink(missing_ok=True)
        raise
    state = json.loads(_STATE.read_text())
    state.update(sandbox=sandbox.pid, started=_start_time(sandbox.pid), before=before)
    _STATE.write_text(json.dumps(state))
    print("a shell in a node: make cluster-shell n1 (or n2); the end: make cluster-down")
    return 0


def _follow(sandbox: subprocess.Popen[bytes]) -> None:
    """Shows the log until the cluster is ready."""
    deadline = time.monotonic() + _UP_TIMEOUT
    with _LOG.open() as log:
        while not _STATE.exists():
            print(log.read(), end="", flush=True)
            if sandbox.poll() is not None:
                print(log.read(), end="")
                raise SystemExit("the cluster did not come up")
            if time.monotonic() > deadline:
                raise SystemExit(f"the cluster did not come up within {_UP_TIMEOUT:g} s")
            time.sleep(0.1)
        print(log.read(), end="")


def hold() -> int:
    """Inside the sandbox: makes the cluster, and stays."""
    begin = time.monotonic()
    cluster = Cluster(systems.chosen())
    print(f"two nodes of {cluster.system.title}: {time.monotonic() - begin:.1f} s", flush=True)
    first, _, second = os.environ.get("CLUSTER_MODULES", OURS).partition(",")
    cluster.initialize((first, second or first))
    print(f"a cluster: {time.monotonic() - begin:.1f} s", flush=True)
    part = _STATE.with_suffix(".part")
    nodes = {node.short_name: node.namespaces.pid for node in cluster.nodes}
    part.write_text(json.dumps({"nodes": nodes}))
    part.rename(_STATE)
    while True:
        signal.pause()


def shell(node: str, command: Sequence[str]) -> int:
    sandbox = _sandbox()
    if sandbox is None:
        raise SystemExit("no cluster is up: make cluster-up")
    nodes = json.loads(_STATE.read_text())["nodes"]
    if node not in nodes:
        raise SystemExit(f"no node {node!r}; there are {', '.join(nodes)}")
    first = outside.first_process(sandbox)
    into = ["nsenter", "-m", "-n", "-i", "-p"]
    argv = [*into, "-t", str(first), "--", *into, "-u", "-t", str(nodes[node]), "--"]
    os.environ.update(PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", HOME="/root")
    os.execvp(argv[0], [*argv, *(command or ("bash", "-l"))])


def down() -> int:
    sandbox = _sandbox()
    if sandbox is None:
        print("no cluster is up")
        return 0
    before = json.loads(_STATE.read_text())["before"]
    namespace = os.readlink(f"/proc/{outside.first_process(sandbox)}/ns/pid")
    os.kill(sandbox, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while (left := outside.processes_in(namespace)) and time.monotonic() < deadline:
        time.sleep(0.1)
    _STATE.unlink()
    after = json.loads(json.dumps(outside.snapshot()))
    left += outside.differences(before, after)
    print("\n".join([*left, f"the cluster is gone, {len(left) or 'nothing'} left"]))
    return bool(left)


def _sandbox() -> int | None:
    """The sandbox's process id if a cluster is up."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        state = json.loads(_STATE.read_text())
        if _start_time(state["sandbox"]) == state["started"]:
            return int(state["sandbox"])
    return None


def _start_time(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def main(arguments: Sequence[str]) -> int:
    match arguments:
        case ["up"]:
            return up()
        case ["hold"]:
            return hold()
        case ["down"]:
            return down()
        case ["shell", node, *command]:
            return shell(node, command)
        case _:
            print(__doc__)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
