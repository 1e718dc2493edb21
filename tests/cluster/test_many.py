"""Ten instances at once: no request fails because another instance comes or goes."""

from __future__ import annotations

import json
import re
import signal
import threading
import time

import pytest

_NAMES = [f"i{number}.example.com" for number in range(11, 21)]
_EVEN, _ODD = _NAMES[::2], _NAMES[1::2]
# The firmware finds nothing to boot, and sleeps: such a guest needs hardly any processor.
_PARAMETERS = {"kernel_path": "", "initrd_path": "", "serial_console": False}
_QEMU = "^/usr/bin/qemu-system"
_TROUBLE = re.compile(r"ERROR_node|\(nodata\)|\(unavail\)|Failure|Traceback")


@pytest.fixture(scope="module")
def ten(cluster):
    """Ten diskless instances, which do not run."""
    specification = [
        {
            "mode": "create",
            "instance_name": name,
            "disk_template": "diskless",
            "disks": [],
            "nics": [{}],
            "pnode": cluster.nodes[number % 2].name,
            "os_type": "noop",
            "hypervisor": "kvm",
            "hvparams": _PARAMETERS,
            "beparams": {"minmem": 128, "maxmem": 128, "vcpus": 1},
            "start": False,
            "ip_check": False,
            "name_check": False,
        }
        for number, name in enumerate(_NAMES)
    ]
    cluster.master.write("/tmp/ten.json", json.dumps(specification))
    cluster.gnt("gnt-instance", "batch-create", "/tmp/ten.json", timeout=500)
    yield _NAMES
    for name in _NAMES:
        cluster.gnt("gnt-instance", "remove", "--force", "--shutdown-timeout=0", name, check=False)


class Lister:
    """Lists all instances in a thread, over and over; keeps what looks like trouble."""

    def __init__(self, cluster):
        self._cluster = cluster
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._list)
        self.count, self.trouble, self.slowest = 0, [], 0.0

    def _list(self):
        while not self._end.is_set():
            begin = time.monotonic()
            text = self._cluster.gnt("gnt-instance", "list", "-o", "+oper_vcpus", check=False)
            text += self._cluster.gnt("gnt-node", "list", check=False)
            self.slowest = max(self.slowest, time.monotonic() - begin)
            self.count += 1
            self.trouble += [line for line in text.splitlines() if _TROUBLE.search(line)]

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()


def gnt(cluster, command, names, *options):
    """Begins one Ganeti command for many instances."""
    return cluster.start("gnt-instance", command, "--force-multiple", *options, *names)


def end(*commands):
    for command in commands:
        status, output = command.wait(500)
        assert status == 0, output
        assert not _TROUBLE.search(output), output


def test_all_start(cluster, ten, figure):
    """ten instances started at once, listed meanwhile."""
    begin = time.monotonic()
    with Lister(cluster) as lister:
        end(gnt(cluster, "start", ten))
    figure(f"{time.monotonic() - begin:.1f} s; {lister.count} lists")
    assert lister.trouble == []
    states = cluster.gnt("gnt-instance", "list", "--no-headers", "-o", "status").split()
    assert states.count("running") == 10


def test_some_start_some_stop(cluster, ten, figure):
    """five shut down while five start, listed meanwhile; then the other way."""
    end(gnt(cluster, "shutdown", _ODD, "--timeout=0"))
    with Lister(cluster) as lister:
        for down, up in ((_EVEN, _ODD), (_ODD, _EVEN)):
            end(gnt(cluster, "shutdown", down, "--timeout=2"), gnt(cluster, "start", up))
    figure(f"{lister.count} lists, the slowest {lister.slowest:.1f} s")
    assert lister.trouble == []
    states = cluster.gnt("gnt-instance", "list", "--no-headers", "-o", "name,status").splitlines()
    assert {line.split()[0] for line in states if "running" in line} >= set(_EVEN)


def test_all_stuck(cluster, ten, figure):
    """no QEMU answers: list waits for all of them at once, and tells what it knows."""
    end(gnt(cluster, "start", ten))
    stopped = [(node, pid) for node in cluster.nodes for pid in node.processes(_QEMU)]
    for node, pid in stopped:
        node.signal(pid, signal.SIGSTOP)
    begin = time.monotonic()
    text = cluster.gnt("gnt-instance", "list", "--no-headers", "-o", "name,status", check=False)
    seconds = time.monotonic() - begin
    for node, pid in stopped:
        node.signal(pid, signal.SIGCONT)
    figure(f"{seconds:.1f} s for {len(stopped)}")
    assert len(stopped) == 10
    assert {line.split()[0] for line in text.splitlines()} >= set(ten)
    assert not _TROUBLE.search(text), text
    # Five on each node, one after the other, would be five times a deadline of five seconds.
    assert seconds < 20


def test_all_crash(cluster, ten):
    """all QEMUs killed at once; the watcher brings those back that should run."""
    for node in cluster.nodes:
        for pid in node.processes(_QEMU):
            node.signal(pid, signal.SIGKILL)
    with Lister(cluster) as lister:
        cluster.master.run("ganeti-watcher", "--ignore-pause", "--wait-children", timeout=500)
    assert [line for line in lister.trouble if "ERROR_down" not in line] == []
    states = cluster.gnt("gnt-instance", "list", "--no-headers", "-o", "name,status").splitlines()
    assert {line.split()[0] for line in states if "running" in line} >= set(_EVEN)


def test_all_removed(cluster, ten):
    """all removed, five of them running; verify is clean, nothing is left."""
    jobs = [
        cluster.start("gnt-instance", "remove", "--force", "--shutdown-timeout=2", name)
        for name in ten
    ]
    end(*jobs)
    assert cluster.verify() == []
    for node in cluster.nodes:
        assert node.processes(_QEMU) == []
        assert node.taps() == []
        for name in ten:
            assert node.traces(name) == []
