"""Tomorrow's Ganeti: guests with IOThreads, with UEFI, with a parameter that nobody knows, live.

`make test-cluster-next`: the row is Ganeti 3.1 with the parameters that are known to be coming, and
one more (tests/harness/upstream.py), on two nodes with QEMU 10.
"""

from __future__ import annotations

from typing import Any

import pytest

from cluster.harness import coming
from cluster.harness.cluster import SHARED_STORAGE, Cluster
from cluster.harness.coming import BOOT, Kind
from cluster.harness.instance import Instance
from cluster.harness.node import Node

from .conftest import put_right

pytestmark = pytest.mark.timeout(900)
_KINDS = {"threads": coming.THREADS, "uefi": coming.UEFI, "moon": coming.UNKNOWN}


@pytest.fixture(scope="module", params=_KINDS.values(), ids=_KINDS)
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def live(cluster: Cluster, kind: Kind) -> Any:
    """The guest of the steps; each of them needs the one before."""
    guest = Instance(cluster, kind.name)
    yield guest
    put_right(cluster)
    if guest.state():
        guest.gnt("remove", "--force", "--ignore-failures", "--shutdown-timeout=0")


def test_add(live: Instance, kind: Kind, n1: Node) -> None:
    """instance add, start; the guest boots."""
    coming.add(live, kind, n1)
    live.gnt("start")
    assert live.sees(timeout=BOOT).disks == {"vda": 1024}
    if kind is coming.UEFI:
        coming.keep_a_variable(live)
    kind.check(live, n1)


def test_hot_plug(live: Instance, kind: Kind, n1: Node) -> None:
    """hot-add a disk, and take it away."""
    said = live.hot_modify("--disk=add:size=1G")
    assert "Could not hotplug" not in said
    live.sees(lambda seen: len(seen.disks) == 2, BOOT)
    kind.check(live, n1)
    said = live.hot_modify(f"--disk={len(kind.disks)}:remove")
    assert "Could not hotplug" not in said
    assert live.sees(lambda seen: len(seen.disks) == 1, BOOT).disks == {"vda": 1024}


def _is_at(live: Instance, kind: Kind, node: Node, left: Node) -> None:
    """It runs on one node, as it is to be, and nothing of it is on the other."""
    assert live.qemus() == [node.short_name]
    assert left.taps() == []
    left.expect_no_traces(live.name)
    kind.check(live, node)
    assert live.field("status,pnode").split() == ["running", node.name]


def test_migrate(live: Instance, kind: Kind, n1: Node, n2: Node) -> None:
    """live migration there and back."""
    for source, target in ((n1, n2), (n2, n1)):
        before = live.sees().seconds
        live.migrate(target)
        assert live.sees(node=target).seconds >= before, "it booted afresh"
        _is_at(live, kind, target, source)


def test_failover(live: Instance, kind: Kind, n1: Node, n2: Node) -> None:
    """failover there and back: each is a cold start on the other node."""
    for source, target in ((n1, n2), (n2, n1)):
        old = live.pid
        live.gnt("failover", "--force", f"--target-node={target.name}", "--shutdown-timeout=60")
        assert live.sees(timeout=BOOT, node=target).disks == {"vda": 1024}
        assert old not in source.processes("qemu-system")
        _is_at(live, kind, target, source)


@pytest.mark.parametrize("how", ["soft", "hard", "full"])
def test_reboot(live: Instance, kind: Kind, n1: Node, n2: Node, how: str) -> None:
    """reboot: another QEMU of the same make."""
    old = live.pid
    live.gnt("reboot", f"--type={how}", "--shutdown-timeout=60")
    assert live.sees(timeout=BOOT).disks == {"vda": 1024}
    assert live.pid != old
    _is_at(live, kind, n1, n2)


def test_remove(live: Instance, n1: Node, n2: Node) -> None:
    """instance remove: nothing is left."""
    live.remove()
    assert live.state() is None
    for node in (n1, n2):
        assert node.taps() == []
        node.expect_no_traces(live.name)
    assert not n1.path(f"{SHARED_STORAGE}/{live.name}").exists()
