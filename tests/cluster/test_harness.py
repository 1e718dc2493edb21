"""The harness itself: whatever ends it, nothing of a cluster stays."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest

from cluster.harness import outside
from harness import migrants, paths

_PROGRAM = f"""
import signal, sys
sys.path.insert(0, {str(paths.PROJECT / "tests")!r})
from cluster.harness import cluster, systems
cluster.Cluster(systems.chosen())
print("ready", flush=True)
signal.pause()
"""


@pytest.mark.core
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=lambda how: how.name)
def test_nothing_stays(how):
    """nodes that are ended by a signal leave no process, mount, interface or file."""
    before = outside.snapshot()
    sandbox = outside.start_sandbox(
        sys.executable, "-c", _PROGRAM, stdout=subprocess.PIPE, start_new_session=True
    )
    namespace = os.readlink(f"/proc/{outside.first_process(sandbox.pid)}/ns/pid")
    assert sandbox.stdout
    assert sandbox.stdout.readline() == b"ready\n"
    assert len(outside.processes_in(namespace)) > 1
    if how is signal.SIGINT:  # as a terminal does it
        os.killpg(sandbox.pid, how)
    else:
        sandbox.kill()
    sandbox.wait(30)
    migrants.wait_until(lambda: not outside.processes_in(namespace), 30, "the end of all processes")
    assert outside.differences(before, outside.snapshot()) == []


class _Console:
    """Stands for a node: where an instance's serial console is."""

    def __init__(self, folder):
        self.path = folder / "serial"

    def socket(self, name, kind):
        return self.path


@pytest.mark.core
def test_ticks_in_one_piece(tmp_path):
    """ticks that come together, the last ones with the end of the console, all count."""
    node = _Console(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(node.path))
        server.listen()
        ticks = migrants.Ticks(node, {"name": "any"})
        peer, _ = server.accept()
        with peer:
            peer.sendall(b"guest: tick 1\r\nguest: tick 2\r\nguest: up 3s\r\nguest: tick 3\r\n")
            migrants.wait_until(lambda: len(ticks.seen) == 3, 10, "three ticks")
            peer.sendall(b"guest: tick 4\r\nguest: tick 5\r\n")
        ticks.close()
    assert [number for _, number in ticks.seen] == [1, 2, 3, 4, 5]
