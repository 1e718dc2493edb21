"""Options by tag on two nodes: in force on the other before the guest runs there."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from harness import instance, migrants, node, two_nodes
from system.migration.conftest import generation, make, qemu

pytestmark = [pytest.mark.only_3_1, pytest.mark.one_in(3)]

__all__ = ["generation", "make", "qemu"]

# Ganeti 3.1 asks for both
NATIVE = {"disk_aio": "native", "disk_cache": "none"}
TAGS = ["disk-iops:500", "disk0-bps:1M", "rng", "watchdog:reset", "panic:pause", "balloon:off"]


def tagged(*tags: str, **wanted: Any) -> dict[str, Any]:
    return {"tags": [f"hv-kvm:{tag}" for tag in tags], **migrants.ONE_PASS, **wanted}


def set_mtu(value: int) -> None:
    subprocess.run(["ip", "link", "set", node.BRIDGE, "mtu", str(value)], check=True)


@pytest.fixture
def usual_bridge() -> Iterator[None]:
    yield
    set_mtu(1500)


@pytest.fixture(scope="module", params=[node.OURS, node.ORIGINAL])
def module(request: pytest.FixtureRequest, generation: str) -> str:
    """The module of the second node."""
    if (generation, request.param) == ("dev", node.ORIGINAL):
        pytest.skip("it needs the paths of a distribution's Ganeti")
    return str(request.param)


@pytest.fixture(scope="module")
def nodes(generation: str, module: str, bridge: str) -> Iterator[two_nodes.Pair]:
    with two_nodes.pair((generation, node.OURS), (generation, module)) as made:
        yield made


def seen(remote: two_nodes.RemoteNode, guest: dict[str, Any]) -> dict[str, Any]:
    """What QEMU has of it."""
    disks = [
        one["inserted"] for one in remote.qemu(guest["name"], "query-block") if "inserted" in one
    ]
    (pci,) = remote.qemu(guest["name"], "query-pci")
    path = f"/machine/peripheral/nic-{instance.nic().uuid.rsplit('-', 2)[0]}"
    return {
        "limits": [(disk["iops"], disk["bps"]) for disk in disks],
        "pci": sorted((one["slot"], one["id"]["device"]) for one in pci["devices"]),
        "mtu": remote.qemu(guest["name"], "qom-get", path=path, property="host_mtu"),
        "threads": len(remote.qemu(guest["name"], "query-iothreads")),
    }


@pytest.mark.parametrize("mtu", [9000, 1500])
def test_there_and_back(nodes, module, make, tmp_path, usual_bridge, mtu) -> None:
    """Also by a node with Ganeti's own module, which knows nothing of limits and threads."""
    set_mtu(mtu)
    wanted = tagged(*TAGS, "iothreads:1", disk_folder=str(tmp_path), nics=1, **NATIVE)
    guest = make(nodes, **wanted)
    born = seen(nodes.source, guest)
    assert born["limits"] == [(500, 1 << 20)]
    assert born["mtu"] == (mtu if mtu != 1500 else 0)
    assert born["threads"] == 1
    # what a bridge has later changes no guest that lives
    set_mtu(4000)
    nodes.migrate(guest)
    here = seen(nodes.target, guest)
    assert (here["pci"], here["mtu"]) == (born["pci"], born["mtu"])
    if module == node.OURS:
        assert here == born
    nodes.reversed().migrate(guest)
    assert seen(nodes.source, guest) == born


def test_limits_are_in_force_before_the_guest_arrives(nodes, make, tmp_path) -> None:
    there = nodes.reversed()
    guest = make(there, **tagged("disk-iops:70", disk_folder=str(tmp_path)))
    info = there.accept(guest)
    assert there.target.run_state(guest["name"]) == "inmigrate"
    disks = there.target.qemu(guest["name"], "query-block")
    assert [one["inserted"]["iops"] for one in disks if "inserted" in one] == [70]
    there.abort(guest, info)


def test_a_wrong_tag_stops_no_migration(nodes, make, tmp_path) -> None:
    there = nodes.reversed()
    guest = make(there, disk_folder=str(tmp_path), **migrants.ONE_PASS)
    guest |= tagged("disk-iops:70", "rgn", "numa:77", "hugepages:1G")
    there.migrate(guest)
    disks = there.target.qemu(guest["name"], "query-block")
    assert [one["inserted"]["iops"] for one in disks if "inserted" in one] == [70]
    log = there.target.log
    assert "there is no option 'rgn'" in log
    assert "this host has no NUMA node 77" in log
