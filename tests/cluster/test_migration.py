"""Migration between the nodes, of a guest that counts on its console."""

from __future__ import annotations

import pytest

from cluster.harness.instance import Instance
from cluster.harness.node import Node
from harness import migrants

_DOWNTIME = 60.0  # seconds; other tests may share the processors


@pytest.fixture
def counting(guest):
    guest.start_counting()
    yield guest
    if guest.run_state() == "running":
        guest.stop_counting()


def migrate(guest: Instance, source: Node, target: Node, *options: str) -> float:
    """Migrates, and fails if a tick is lost; seconds for which the guest stood still."""
    with guest.ticks(source) as before:
        running = guest.cluster.start(
            "gnt-instance",
            "migrate",
            "--force",
            f"--target-node={target.name}",
            *options,
            guest.name,
        )
        with guest.ticks(target) as after:
            status, output = running.wait()
            assert status == 0, output
            migrants.wait_until(
                lambda: len(after.seen) >= 20, 20, "the guest to go on on the target"
            )
    numbers = migrants.counted(before, after)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "a tick was lost"
    assert guest.qemus() == [target.short_name]
    assert guest.run_state(target) == "running"
    return migrants.stood_still(before, after)


@pytest.mark.core
def test_live_there_and_back(counting, n1, n2, figure):
    """live migration there and back, no tick lost."""
    for source, target in ((n1, n2), (n2, n1)):
        downtime = migrate(counting, source, target)
        figure(f"{source.short_name} to {target.short_name}: downtime {downtime:.2f} s")
        assert downtime < _DOWNTIME
    assert counting.field("status") == "running"


@pytest.mark.core
def test_non_live(counting, n1, n2, figure):
    """non-live migration; the guest runs on the target."""
    downtime = migrate(counting, n1, n2, "--non-live")
    figure(f"downtime {downtime:.2f} s")


def test_hot_plugged_devices_move(guest, n1, n2):
    """migration with hot-plugged disk and NIC, hot-removed on the target."""
    guest.hot_modify("--disk=add:size=1G", "--net=add:mac=aa:00:00:10:20:40")
    guest.sees(lambda seen: len(seen.disks) == 2 and len(seen.nics) == 2)
    guest.migrate(n2)
    seen = guest.sees()
    assert (len(seen.disks), len(seen.nics)) == (2, 2)
    assert n1.taps() == []
    guest.hot_modify("--disk=1:remove", "--net=1:remove")
    guest.sees(lambda seen: len(seen.disks) == 1 and len(seen.nics) == 1)
    assert len(n2.taps()) == 1


def test_reboot_after_migration(guest, n2):
    """soft reboot, shutdown and start on the target of a migration."""
    guest.migrate(n2)
    guest.gnt("reboot", "--type=soft", "--shutdown-timeout=60")
    guest.wait_for_boot()
    guest.gnt("shutdown", "--timeout=60")
    assert guest.field("status") == "ADMIN_down"
    assert n2.taps() == []


def test_node_migrate_and_evacuate(guest, n1, n2):
    """node migrate moves all that runs on a node."""
    guest.cluster.gnt("gnt-node", "migrate", "--force", f"--target-node={n2.name}", n1.name)
    assert guest.qemus() == ["n2"]
    guest.sees()
