"""A guest changes hands with devices in it: from the original to ours and back."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator

import pytest

from ganeti_hv_kvm.hv_kvm import KVMHypervisor
from harness import instance, original
from system.hotplug.running import NAME, Running

pytestmark = pytest.mark.rather_3_1

_MIB = 1 << 20

GANETI_UNDER_TEST = os.environ.get("GANETI_UNDER_TEST", "3.0")
# Ganeti 3.1 takes over guests that 3.0 started; never the other way.
PREDECESSORS = ["3.0"] if GANETI_UNDER_TEST == "3.0" else ["3.0", "3.1"]


@pytest.fixture
def take_over(
    bridge: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Running]]:
    """A function that has an original start the guest, and gives it to ours."""
    assert bridge
    started: list[Running] = []

    def take(generation: str) -> Running:
        folder = tmp_path_factory.mktemp("disks")
        original.call(generation, "start", folder, NAME)
        made, disks = original.made_in(folder, NAME)
        running = Running(KVMHypervisor(), made, folder, disks)
        running.attach()
        started.append(running)
        return running

    yield take
    for running in started:
        running.stop()


def grow(running: Running, disk: tuple[object, str, None]) -> None:
    os.truncate(disk[1], 32 * _MIB)
    running.hypervisor.ResizeDisk(running.made, disk[0], 32 * _MIB)


@pytest.mark.parametrize("predecessor", PREDECESSORS)
def test_what_the_original_started_and_added_grows_and_goes(take_over, predecessor):
    running = take_over(predecessor)
    original.call(predecessor, "add", running.folder, NAME)
    running.sees(lambda disks, nics: "vdb" in disks and "eth1" in nics)

    added = instance.disk(running.folder, 1)
    for disk in (running.disks[0], added):
        grow(running, disk)
    running.sees(lambda disks, _: "vda:32MiB" in disks and "vdb:32MiB" in disks)

    running.remove_nic(instance.nic(1))
    running.remove_disk(added)
    running.remove_disk(running.disks[0], 0)
    running.remove_nic(running.made.nics[0], 0)
    running.sees(lambda disks, nics: not disks.strip() and not nics.strip())
    state = running.state()
    assert state["nodes"] == (0, [])
    assert not [drive for drive in state["drives"] if drive.startswith("disk-")]
    assert state["netdevs"] == []
    assert not [path for path in state["open in QEMU"] if path.endswith((".img", "tun"))]
    assert not [name for name in state["interfaces"] if name.startswith("tap")]


def test_what_ours_added_is_removed_by_the_original(take_over):
    running = take_over(GANETI_UNDER_TEST)
    before = running.state()
    running.add_disk()
    running.add_nic()
    running.sees(lambda disks, nics: "vdb" in disks and "eth1" in nics)
    original.call(GANETI_UNDER_TEST, "remove", running.folder, NAME)
    running.sees(lambda disks, nics: "vdb" not in disks and "eth1" not in nics)
    after = running.state()
    # The same content, in the original's own order of keys.
    for state in (before, after):
        state["runtime"] = json.loads(state["runtime"])
    assert after == before


def test_what_the_original_started_ours_changes_and_the_original_goes_on(take_over):
    running = take_over(GANETI_UNDER_TEST)
    original.call(GANETI_UNDER_TEST, "add", running.folder, NAME)
    disk = instance.disk(running.folder, 1)
    where = running.remove_disk(disk)
    running.add_disk(1, disk)
    assert disk[0].hvinfo == where
    other = instance.nic(1)
    other.mac = "aa:00:00:99:99:99"
    running.modify_nic(other)
    running.sees(lambda disks, nics: "vdb" in disks and other.mac in nics)
    original.call(GANETI_UNDER_TEST, "remove", running.folder, NAME)
    running.sees(lambda disks, nics: "vdb" not in disks and "eth1" not in nics)
