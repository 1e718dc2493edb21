"""Puts the cluster right after a step that failed: nothing of it may reach the next one."""

from __future__ import annotations

import contextlib
import signal

from harness import migrants

from .cluster import Cluster
from .node import Node

_RUN_FOLDER = "/run/ganeti/kvm-hypervisor"
_COMMANDS = r"/usr/sbin/(gnt-|ganeti-watcher|ganeti-noded)"
_QEMU = "qemu-system"
_UNFINISHED = ("queued", "waiting", "running", "canceling")
_END_TIMEOUT = 30.0


def afresh(cluster: Cluster) -> None:
    """End whatever still works, waits or hangs on the nodes; remove all instances."""
    for node in cluster.nodes:
        _kill(node, _COMMANDS)
        node.daemon("start")
    _end_jobs(cluster)
    for node in cluster.nodes:
        _kill(node, _QEMU)
        node.shell(f"find {_RUN_FOLDER} -mindepth 2 -delete", check=False)
    for name in cluster.gnt("gnt-instance", "list", "--no-headers", "-o", "name").split():
        options = ("--force", "--ignore-failures", "--shutdown-timeout=0")
        cluster.gnt("gnt-instance", "remove", *options, name, check=False)


def forget(node: Node, instance: str) -> None:
    """Remove the files of an instance that does not run on this node."""
    if node.qemu(instance) is None and node.traces(instance):
        node.shell(f"find {_RUN_FOLDER} -mindepth 2 -path '*/{instance}*' -delete")


def _kill(node: Node, pattern: str) -> None:
    for pid in node.processes(pattern):
        with contextlib.suppress(ProcessLookupError):
            node.signal(pid, signal.SIGKILL)
    migrants.wait_until(lambda: not node.processes(pattern), _END_TIMEOUT, f"the end of {pattern}")


def _end_jobs(cluster: Cluster) -> None:
    if left := _unfinished(cluster):
        cluster.gnt("gnt-job", "cancel", "--kill", "--yes-do-it", *left, check=False)
        migrants.wait_until(lambda: not _unfinished(cluster), _END_TIMEOUT, "the end of all jobs")


def _unfinished(cluster: Cluster) -> list[str]:
    lines = cluster.gnt("gnt-job", "list", "--no-headers", "-o", "id,status").splitlines()
    return [line.split()[0] for line in lines if line.split()[-1] in _UNFINISHED]
