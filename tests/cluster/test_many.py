"""Ten instances at once: no request fails because another instance comes or goes."""

from __future__ import annotations

import json
import re
import signal
import threading
import time

import pytest

from .conftest import put_right

_NAMES = [f"i{number}.example.com" for number in range(11, 21)]
_EVEN, _ODD = _NAMES[::2], _NAMES[1::2]
# The firmware finds nothing to boot, and sleeps: such a guest needs hardly any processor.
_PARAMETERS = {
    "kernel_path": "",
    "initrd_path": "",
    "serial_console": False,
    "kvm_extra": "-global virtio-net-pci.romfile=",  # nor does it ask the network
}
_QEMU = "^/usr/bin/qemu-system"
_END_TIMEOUT = 180.0  # seconds, for a command about all ten
_TROUBLE = re.compile(r"ERROR_node|\(nodata\)|\(unavail\)|Failure|Traceback")


@pytest.fixture(scope="module")
def only_while_here(cluster):
    """None of the ten is left to the steps of other files."""
    yield
    put_right(cluster)
    for name in states(cluster):
        cluster.gnt("gnt-instance", "remove", "--force", "--shutdown-timeout=0", name, check=False)


@pytest.fixture
def ten(cluster, only_while_here):
    """Ten diskless instances."""
    put_right(cluster)
    if not states(cluster):
        cluster.master.write("/tmp/ten.json", json.dumps(_specification(cluster)))
        cluster.gnt("gnt-instance", "batch-create", "/tmp/ten.json")
    return _NAMES


@pytest.fixture
def ten_running(cluster, ten):
    """All of them run."""
    if down := [name for name, status in states(cluster).items() if status != "running"]:
        end(gnt(cluster, "start", down))
    return ten


def _specification(cluster):
    """For `gnt-instance batch-create`."""
    return [
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


def states(cluster):
    """The status of each of the ten that exists."""
    text = cluster.gnt("gnt-instance", "list", "--no-headers", "-o", "name,status")
    pairs = dict(line.split() for line in text.splitlines())
    return {name: pairs[name] for name in _NAMES if name in pairs}


def running(cluster):
    return {name for name, status in states(cluster).items() if status == "running"}


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
            self._end.wait(0.5)

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
        status, output = command.wait(_END_TIMEOUT)
        assert status == 0, output
        assert not _TROUBLE.search(output), output


def test_all_start(cluster, ten, figure):
    """ten instances started at once, listed meanwhile."""
    begin = time.monotonic()
    with Lister(cluster) as lister:
        end(gnt(cluster, "start", ten))
    figure(f"{time.monotonic() - begin:.1f} s; {lister.count} lists")
    assert lister.trouble == []
    assert running(cluster) == set(ten)


def test_some_start_some_stop(cluster, ten_running, figure):
    """five shut down while five start, listed meanwhile; then the other way."""
    end(gnt(cluster, "shutdown", _ODD, "--timeout=0"))
    with Lister(cluster) as lister:
        for down, up in ((_EVEN, _ODD), (_ODD, _EVEN)):
            end(gnt(cluster, "shutdown", down, "--timeout=2"), gnt(cluster, "start", up))
    figure(f"{lister.count} lists, the slowest {lister.slowest:.1f} s")
    assert lister.trouble == []
    assert running(cluster) >= set(_EVEN)


def test_all_stuck(cluster, ten_running, figure):
    """no QEMU answers: list waits for all of them at once, and tells what it knows."""
    stopped = [(node, pid) for node in cluster.nodes for pid in node.processes(_QEMU)]
    for node, pid in stopped:
        node.signal(pid, signal.SIGSTOP)
    begin = time.monotonic()
    try:
        text = cluster.gnt("gnt-instance", "list", "--no-headers", "-o", "name,status", check=False)
    finally:
        seconds = time.monotonic() - begin
        for node, pid in stopped:
            node.signal(pid, signal.SIGCONT)
    figure(f"{seconds:.1f} s for {len(stopped)}")
    assert len(stopped) == 10
    assert {line.split()[0] for line in text.splitlines()} >= set(ten_running)
    assert not _TROUBLE.search(text), text
    # Five on each node, one after the other, would be five times a deadline of five seconds.
    assert seconds < 20, f"{seconds:.0f} s for a list"


def test_all_crash(cluster, ten_running):
    """all QEMUs killed at once; the watcher brings them back."""
    for node in cluster.nodes:
        for pid in node.processes(_QEMU):
            node.signal(pid, signal.SIGKILL)
    with Lister(cluster) as lister:
        cluster.master.run("ganeti-watcher", "--ignore-pause", "--wait-children")
    assert [line for line in lister.trouble if "ERROR_down" not in line] == []
    assert running(cluster) == set(ten_running)


def test_all_removed(cluster, ten_running):
    """all removed, five of them running; verify is clean, nothing is left."""
    end(gnt(cluster, "shutdown", _ODD, "--timeout=0"))
    jobs = [
        cluster.start("gnt-instance", "remove", "--force", "--shutdown-timeout=2", name)
        for name in ten_running
    ]
    end(*jobs)
    assert cluster.verify() == []
    for node in cluster.nodes:
        assert node.processes(_QEMU) == []
        assert node.taps() == []
        for name in ten_running:
            node.expect_no_traces(name)
