"""NICs of mode "ext": all about their network is the site's, in two scripts of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import leftovers, migrants, node, paths, two_nodes
from harness.migrants import ONE_PASS

NAME = "ext.example.com"


class Site:
    """A node with the site's scripts, which write down what they are told."""

    def __init__(self, remote: two_nodes.RemoteNode) -> None:
        self._told = remote.root / "told"
        self._folder = remote.root / "etc/ganeti/network/ext"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._told.write_text("")
        for action in ("up", "down"):
            self.script(action)

    def script(self, action: str, *lines: str) -> None:
        """A script that does this as well; what it cannot do fails it."""
        told = f'echo "$ACTION $INTERFACE ${{MIGRATION_PHASE:--}}" >>{self._told}'
        script = self._folder / action
        script.write_text("\n".join(["#!/bin/bash -e", told, *lines, ""]))
        script.chmod(0o755)

    def told(self) -> list[str]:
        return self._told.read_text().splitlines()


@pytest.fixture(scope="module")
def nodes() -> Iterator[two_nodes.Pair]:
    ours = ("dev", node.OURS)
    with two_nodes.pair(ours, ours) as made:
        yield made


@pytest.fixture(params=[paths.QEMU, paths.QEMU_10], ids=["QEMU 7.2", "QEMU 10"])
def wanted(request: pytest.FixtureRequest) -> two_nodes.Wanted:
    kvm_path = str(request.param)
    return {
        "name": NAME, "memory": 96, "nics": 1, "nic_mode": "ext", "kvm_path": kvm_path, **ONE_PASS
    }  # fmt: skip


@pytest.fixture
def sites(nodes: two_nodes.Pair, wanted: two_nodes.Wanted) -> Iterator[tuple[Site, Site]]:
    interfaces = set(os.listdir("/sys/class/net"))
    yield Site(nodes.source), Site(nodes.target)
    for remote in (nodes.source, nodes.target):
        migrants.end(remote, wanted)
        assert remote.files() == []
    assert set(os.listdir("/sys/class/net")) == interfaces
    assert not list(leftovers._qemu_processes())


def start(remote: two_nodes.RemoteNode, wanted: two_nodes.Wanted) -> str:
    """Starts the guest and gives its interface."""
    remote.call("StartInstance", wanted)
    return tap_on(remote)


def tap_on(remote: two_nodes.RemoteNode) -> str:
    return (remote.run_folder / "nic" / NAME / "0").read_text()


def test_start_and_stop(nodes, sites, wanted):
    here, _ = sites
    # as the site has it: no bridge of Ganeti's
    here.script("up", 'ip link set "$INTERFACE" up alias "by the site"')
    tap = start(nodes.source, wanted)
    assert here.told() == [f"up {tap} -"]
    assert Path(f"/sys/class/net/{tap}/ifalias").read_text() == "by the site\n"
    assert not Path(f"/sys/class/net/{tap}/master").exists()
    nodes.source.call("StopInstance", wanted)
    nodes.source.call("CleanupInstance", wanted)
    assert here.told() == [f"up {tap} -", f"down {tap} -"]


def test_a_site_without_a_script(nodes, sites, wanted):
    (nodes.source.root / "etc/ganeti/network/ext/up").unlink()
    with pytest.raises(two_nodes.RemoteError, match="network/ext/up") as caught:
        start(nodes.source, wanted)
    assert caught.value.is_hypervisor_error
    assert nodes.source.files() == []


def test_a_migration_tells_both_ends_its_phases(nodes, sites, wanted):
    here, there = sites
    tap = start(nodes.source, wanted)
    info = nodes.accept(wanted)
    other = tap_on(nodes.target)
    assert there.told() == [f"up {other} pre"]
    nodes.source.call("MigrateInstance", wanted, nodes.address, True)
    assert nodes.wait(wanted)[-1]["status"] == "completed"
    assert there.told() == [f"up {other} pre"]
    nodes.finish(wanted, info)
    assert nodes.run_states(NAME) == ("gone", "running")
    assert there.told() == [f"up {other} pre", f"up {other} post"]
    assert here.told() == [f"up {tap} -", f"down {tap} -"]


def test_what_fails_before_the_guest_comes_does_not_keep_it_away(nodes, sites, wanted):
    _, there = sites
    there.script("up", '[ "$MIGRATION_PHASE" != pre ]')
    start(nodes.source, wanted)
    nodes.migrate(wanted)
    other = tap_on(nodes.target)
    assert nodes.run_states(NAME) == ("gone", "running")
    assert there.told() == [f"up {other} pre", f"up {other} post"]
    assert "before the migration" in nodes.target.log


def test_an_aborted_migration_undoes_the_targets_nic(nodes, sites, wanted):
    here, there = sites
    tap = start(nodes.source, wanted)
    info = nodes.accept(wanted)
    other = tap_on(nodes.target)
    assert nodes.abort(wanted, info) == ("", "")
    assert nodes.run_states(NAME) == ("running", "gone")
    assert there.told() == [f"up {other} pre", f"down {other} -"]
    assert here.told() == [f"up {tap} -"]


def test_an_acceptance_that_fails_late_undoes_its_nic(nodes, sites, wanted):
    """After QEMU and its NICs are there: it does not know one of the capabilities."""
    here, there = sites
    tap = start(nodes.source, wanted)
    _, refusal = nodes.try_accept({**wanted, "migration_caps": "teleportation"})
    assert "teleportation" in refusal
    up, down = there.told()
    assert up.endswith(" pre")
    assert down == up.replace("up", "down").replace("pre", "-")
    assert nodes.target.files() == []
    assert here.told() == [f"up {tap} -"]
