"""A parameter that nobody knows: what an operator may choose for it, and what verify says then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cluster.harness import coming
from cluster.harness.cluster import Cluster
from cluster.harness.coming import BOOT
from cluster.harness.instance import Instance
from cluster.harness.node import Node

from .conftest import put_right

pytestmark = pytest.mark.timeout(900)

_FILE = "/etc/ganeti/ganeti-hv-kvm.conf"
_ENVIRONMENT = "/etc/default/ganeti"
_DELEGATED = "guests that use it are started by Ganeti's own KVM module"
_REFUSED = "guests that use it are not started (unknown_parameters=refuse)"
_ASIDE = "but cannot be used, and Ganeti's own KVM module is"
_REFUSAL = f"{coming.KNOWS_NOT}, and unknown_parameters is refuse: nothing was done"


def _expect(cluster: Cluster, *said: str) -> None:
    """Verify has one error for each node in turn, with that in it.

    Where it is refused there is one for each instance that uses the parameter, too; no other.
    """
    found = cluster.verify()
    of_nodes = sorted(line for line in found if "hypervisor kvm verify failure" in line)
    assert len(of_nodes) == len(cluster.nodes), found
    for node, words, line in zip(cluster.nodes, said, of_nodes, strict=True):
        assert f"ERROR: node {node.name}: " in line
        assert words in line
        assert "moon_phase" in line
    rest = set(found) - set(of_nodes)
    assert bool(rest) == (_REFUSED in said), rest
    for line in rest:
        assert _REFUSAL in line
        assert coming.UNKNOWN.name in line


def _start_anew(cluster: Cluster) -> None:
    """The node daemons have Ganeti's modules for as long as they run."""
    for node in cluster.nodes:
        node.daemon("restart")


@pytest.fixture
def choose(cluster: Cluster) -> Iterator[Callable[[str], None]]:
    """Has a policy for the whole cluster, in its file; afterwards there is none."""

    def for_all(policy: str) -> None:
        cluster.master.write(_FILE, f"[hv-kvm]\nunknown_parameters = {policy}\n")
        cluster.gnt("gnt-cluster", "redist-conf")
        for node in cluster.nodes:
            assert policy in node.path(_FILE).read_text(), node.name

    yield for_all
    for node in cluster.nodes:
        node.run("rm", "-f", _FILE)
    _start_anew(cluster)


@pytest.fixture(scope="module")
def moon(cluster: Cluster) -> Any:
    """A guest that uses the parameter; it was made where that was delegated."""
    guest = Instance(cluster, coming.UNKNOWN.name)
    coming.add(guest, coming.UNKNOWN, cluster.master)
    yield guest
    put_right(cluster)
    if guest.state():
        guest.gnt("remove", "--force", "--ignore-failures", "--shutdown-timeout=0")


@pytest.fixture
def running(moon: Instance, n1: Node) -> Instance:
    moon.gnt("start")
    moon.sees(timeout=BOOT)
    coming.has_moon(moon, n1)
    return moon


def test_delegated(cluster: Cluster) -> None:
    """verify: unknown parameters are delegated, if nothing else was chosen."""
    _expect(cluster, _DELEGATED, _DELEGATED)


def test_no_start_where_refused(cluster: Cluster, choose: Any, moon: Instance, n1: Node) -> None:
    """refuse: verify says it, no start, no new instance, nothing left."""
    choose("refuse")
    _expect(cluster, _REFUSED, _REFUSED)
    assert _REFUSAL in moon.gnt("start", check=False)
    assert moon.qemus() == []
    assert n1.taps() == []
    n1.expect_no_traces(moon.name)

    another = Instance(cluster, "i4.example.com")
    said = another.gnt(
        "add",
        "--disk-template=diskless",
        "--os-type=noop",
        f"--node={n1.name}",
        "--hypervisor-parameters=kvm:moon_phase=full",
        check=False,
    )
    assert _REFUSAL in said
    assert another.state() is None

    # a guest without it is ours, and starts
    another.add(n1, template="diskless")
    assert another.qemus() == ["n1"]
    another.remove()


def test_one_that_runs_where_refused(
    cluster: Cluster, choose: Any, running: Instance, n1: Node, n2: Node
) -> None:
    """refuse: what runs is listed and runs on; no reboot, no migration, but a shutdown."""
    choose("refuse")
    pid = running.pid
    assert running.field("status").split() == ["running"]
    assert _REFUSAL in running.gnt("reboot", "--type=soft", check=False)
    assert _REFUSAL in running.migrate(n2, check=False)
    assert running.pid == pid
    assert running.qemus() == ["n1"]
    assert running.run_state() == "running"
    running.sees()
    n2.expect_no_traces(running.name)
    assert n2.taps() == []
    running.gnt("shutdown", "--timeout=60")
    assert running.qemus() == []
    n1.expect_no_traces(running.name)


def test_refused_on_one_node(cluster: Cluster, running: Instance, n1: Node, n2: Node) -> None:
    """refuse in the environment of one node: verify says it there, and no guest goes there."""
    n2.write(_ENVIRONMENT, "export GANETI_HV_KVM_UNKNOWN_PARAMETERS=refuse\n")
    try:
        n2.daemon("restart")
        _expect(cluster, _DELEGATED, _REFUSED)
        pid = running.pid
        assert _REFUSAL in running.migrate(n2, check=False)
        assert running.pid == pid
        assert running.run_state() == "running"
        n2.expect_no_traces(running.name)
        # its own node still delegates
        running.gnt("reboot", "--type=soft", "--shutdown-timeout=60")
        running.sees(timeout=BOOT)
        coming.has_moon(running, n1)
    finally:
        n2.run("rm", "-f", _ENVIRONMENT)
        n2.daemon("restart")
        running.gnt("shutdown", "--timeout=0", "--force")


def test_aside(cluster: Cluster, choose: Any, running: Instance, n1: Node, n2: Node) -> None:
    """aside: Ganeti's own module has all guests; verify says so on each node."""
    choose("aside")
    _start_anew(cluster)
    for node in cluster.nodes:
        assert node.module_in_use() == "original"
    _expect(cluster, _ASIDE, _ASIDE)
    # it takes over the one that runs, and starts one that does not use the parameter
    running.gnt("reboot", "--type=hard", "--shutdown-timeout=60")
    running.sees(timeout=BOOT)
    command = coming.command_line(running, n1)
    assert command[command.index("-fw_cfg") + 1] == coming.MOON
    another = Instance(cluster, "i4.example.com")
    another.add(n1, template="diskless")
    assert another.qemus() == ["n1"]

    # and back: ours takes over both
    choose("delegate")
    _start_anew(cluster)
    for node in cluster.nodes:
        assert node.module_in_use() == "replacement"
    _expect(cluster, _DELEGATED, _DELEGATED)
    assert [one.field("status").strip() for one in (running, another)] == ["running"] * 2
    another.remove()
    running.gnt("shutdown", "--timeout=60")
    assert running.qemus() == []
    n1.expect_no_traces(running.name)
    assert n1.taps() == []
