"""A guest that writes faster than it is sent: moved within the operator's bounds, or told why not.

Each test prints how long the guest stood still and how long it all took; docs/migration.md has the
figures of `make test-restless`, which asks more, and the original too.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from harness import encrypted, migrants, node, tiny_guest, two_nodes
from harness.each_qemu import each_qemu
from harness.two_nodes import Pair, RemoteError

pytestmark = [pytest.mark.migration, pytest.mark.one_in(2)]

PREFIX = "GANETI_HV_KVM_MIGRATION_"
#: Bits a second of the link between the nodes. The guest writes 11 MiB all the time, which take it
#: more than a third of a second.
LINK = "240mbit"
LIMITS = {"migration_bandwidth": 1000, "migration_downtime": 30}
_TURNS = 10_000  # between two pages
POLL = 2.0  # seconds, as Ganeti's master

more = pytest.mark.skipif(
    os.environ.get("RESTLESS") != "all", reason="for make test-restless alone"
)
EACH_QEMU = each_qemu(new=more)


@pytest.fixture
def nodes(generation, bridge) -> Iterator[encrypted.Nodes]:
    with encrypted.nodes(generation) as made:
        yield made


@pytest.fixture(autouse=True)
def slow_link() -> Iterator[None]:
    """QEMU's own max-bandwidth does not hold for the last part, in which the guest stands still."""
    node.require_sandbox()
    shape = f"root tbf rate {LINK} burst 256k latency 100ms".split()
    subprocess.run(["tc", "qdisc", "add", "dev", "lo", *shape], check=True)
    yield
    subprocess.run(["tc", "qdisc", "del", "dev", "lo", "root"], check=True)


@pytest.fixture
def restless(make, tmp_path):
    """Makes a guest that QEMU's own limits never let go."""

    def start(pair: Pair, *, turns: int = 0, **parameters: Any) -> two_nodes.Wanted:
        if turns:
            tiny_guest.write_busy_disk(tmp_path / "disk0.img", turns)
        else:
            tiny_guest.write_restless_disk(tmp_path / "disk0.img")
        wanted = {"memory": 16, "kernel_path": "", "disk_folder": str(tmp_path), **LIMITS}
        guest = make(pair, **{**wanted, **parameters})
        time.sleep(3)  # its BIOS is done, and it writes
        return guest

    return start


def settings(**values: object) -> dict[str, str]:
    return {PREFIX + name.upper(): str(value) for name, value in values.items()}


def poll(pair: Pair, guest: two_nodes.Wanted, most: float) -> bool:
    """As Ganeti's master does; whether the guest was moved within so many seconds."""
    end = time.monotonic() + most
    while time.monotonic() < end:
        if pair.source.call("GetMigrationStatus", guest)["status"] == "completed":
            return True
        time.sleep(POLL)
    return False


def figures(pair: Pair, guest: two_nodes.Wanted) -> str:
    seen = pair.source.qemu(guest["name"], "query-migrate")
    sent = seen["ram"]["transferred"] / seen["ram"]["total"]
    return (
        f"downtime {seen.get('downtime', '-')} ms, {seen['total-time'] / 1000:.0f} s,"
        f" {sent:.0%} of the memory sent"
    )


def moved(pair: Pair, guest: two_nodes.Wanted, what: str, most: float = 150) -> int:
    """The whole migration; the downtime in milliseconds."""
    info = pair.begin(guest)
    assert poll(pair, guest, most), f"still {figures(pair, guest)}"
    print(f"\n{what}: {figures(pair, guest)}")
    downtime = int(pair.source.qemu(guest["name"], "query-migrate")["downtime"])
    pair.finish(guest, info)
    assert pair.run_states(guest["name"]) == ("gone", "running")
    return downtime


@EACH_QEMU
def test_a_downtime_that_rises(nodes, restless, qemu):
    pair = nodes("off", "off", **settings(downtime_max=1000))
    guest = restless(pair, migration_downtime=100)
    downtime = moved(pair, guest, f"{qemu}: migration_downtime_max=1000")
    assert downtime > 100
    raised = [line for line in pair.source.log.splitlines() if "may stand still for" in line]
    limits = [int(line.split(" for ")[1].split()[0]) for line in raised]
    # no further than it had to
    assert limits == [150, 225, 337, 505, 757, 1000][: len(limits)]
    assert not pair.target.socket(guest["name"], "migstate").exists()


@EACH_QEMU
def test_a_bound_in_time(nodes, restless, qemu):
    pair = nodes("off", "off", **settings(cancel_after=4))
    guest = restless(pair)
    info = pair.begin(guest)
    began = time.monotonic()
    with pytest.raises(RemoteError) as failure:
        poll(pair, guest, 120)
    assert failure.value.is_hypervisor_error
    print(f"\n{qemu}: migration_cancel_after=4: told after {time.monotonic() - began:.1f} s")
    assert "(migration_cancel_after=4)" in str(failure.value)
    assert "MiB/s are sent" in str(failure.value)
    assert pair.source.run_state(guest["name"]) == "running"
    assert pair.abort(guest, info) == ("", "")
    assert pair.run_states(guest["name"]) == ("running", "gone")
    # and it can go when there is more room
    pair.migrate({**guest, **migrants.ONE_PASS})
    assert pair.run_states(guest["name"]) == ("gone", "running")


@EACH_QEMU
@more
def test_a_guest_that_is_slowed_down(nodes, restless, qemu):
    """It writes less, the less it runs; the other writes all there is in each of its moments."""
    pair = nodes("off", "off", **settings(throttle=99))
    guest = restless(pair, turns=_TURNS)
    moved(pair, guest, f"{qemu}: migration_throttle=99")
    told = pair.target.qemu(guest["name"], "query-migrate-capabilities")
    assert not {one["capability"]: one["state"] for one in told}["auto-converge"]


@EACH_QEMU
@more
def test_by_postcopy_where_allowed(nodes, restless, qemu):
    pair = nodes("off", "off", **settings(cancel_after=4))
    guest = restless(pair, migration_caps="postcopy-ram")
    info, refusal = pair.try_accept(guest)
    if refusal:  # userfaultfd is not for everybody
        assert "postcopy" in refusal.lower()
        return
    pair.source.call("MigrateInstance", guest, pair.address, True)
    assert poll(pair, guest, 60)
    print(f"\n{qemu}: postcopy-ram: {figures(pair, guest)}")
    pair.finish(guest, info)
    assert pair.run_states(guest["name"]) == ("gone", "running")


@EACH_QEMU
@more
@pytest.mark.parametrize("module", [node.OURS, node.ORIGINAL])
def test_without_bounds_it_never_ends(nodes, restless, qemu, module):
    """What Ganeti's own module does, and ours unless it is told otherwise."""
    pair = nodes(*(2 * ["off" if module == node.OURS else module]))
    guest = restless(pair)
    info = pair.begin(guest)
    assert not poll(pair, guest, 90)
    print(f"\n{qemu}, {module}: no end: {figures(pair, guest)}")
    pair.abort(guest, info)
    assert pair.source.run_state(guest["name"]) == "running"


@EACH_QEMU
@more
@pytest.mark.parametrize("module", [node.OURS, node.ORIGINAL])
def test_a_limit_that_is_high_from_the_start(nodes, restless, qemu, module):
    """What an operator of Ganeti's own module can do."""
    pair = nodes(*(2 * ["off" if module == node.OURS else module]))
    guest = restless(pair, migration_downtime=1000)
    moved(pair, guest, f"{qemu}, {module}: migration_downtime=1000")


@EACH_QEMU
@more
def test_encrypted_all_the_same(nodes, restless, qemu):
    pair = nodes("require", "require", **settings(downtime_max=1000, throttle=50))
    guest = restless(pair, migration_downtime=100)
    moved(pair, guest, f"{qemu}: encrypted, migration_downtime_max=1000, migration_throttle=50")
