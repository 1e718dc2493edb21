"""Several requests at once in threads of one process, as the development version's daemon does."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ganeti_hv_kvm.hv_kvm import KVMHypervisor
from harness import instance, paths
from harness.descriptors import open_files

COUNT = 4
NAMES = [f"thread{number}.example.com" for number in range(COUNT)]


@pytest.fixture
def at_once() -> Iterator[Callable[..., list[Any]]]:
    """A function that does the same with each of several things, all beginning together."""
    together = threading.Barrier(COUNT)
    with ThreadPoolExecutor(COUNT) as pool:

        def run(action: Callable[[Any], Any], things: list[Any]) -> list[Any]:
            def one(thing: Any) -> Any:
                together.wait(30)
                return action(thing)

            return list(pool.map(one, things))

        yield run


class Listings:
    """A thread that lists the node all the time."""

    def __init__(self) -> None:
        self.told: list[set[str]] = []
        self.errors: list[Exception] = []
        self._stop = threading.Event()
        self._asking = threading.Lock()
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self) -> None:
        try:
            while not self._stop.wait(0.02):
                with self._asking:
                    self.told.append({info[0] for info in KVMHypervisor().GetAllInstancesInfo()})
        except Exception as error:
            self.errors.append(error)

    def open_files(self) -> list[str]:
        """What this process, the daemon, has open while nobody asks."""
        with self._asking:
            return sorted(target for _, target in open_files())

    def end(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def listings(hypervisor: Any) -> Iterator[Listings]:
    assert hypervisor.ListInstances() == []
    made = Listings()
    yield made
    made.end()
    assert made.errors == []


def guests(folder: Path) -> list[tuple[Any, list[Any]]]:
    made = []
    for number, name in enumerate(NAMES):
        own = folder / name
        own.mkdir()
        disks = [instance.disk(own)]
        # SCSI disks go without the guest's consent, so no Linux has to come up
        wanted = {"disk_type": "scsi-hd", "scsi_controller_type": "virtio-scsi-pci"}
        nics = [instance.nic(number)]
        one = instance.instance(
            name, nics=nics, disks=disks, kvm_path=str(paths.QEMU_10), kernel_path="", **wanted
        )
        made.append((one, disks))
    return made


def test_four_guests_live_at_once(hypervisor, at_once, listings, tmp_path):
    before = listings.open_files()
    made = guests(tmp_path)
    at_once(lambda one: KVMHypervisor().StartInstance(one[0], one[1], False), made)
    assert sorted(hypervisor.ListInstances()) == NAMES
    taps = [Path(hypervisor._InstanceNICFile(name, 0)).read_text() for name in NAMES]
    assert len(set(taps)) == COUNT
    assert {os.path.basename(os.readlink(f"/sys/class/net/{tap}/master")) for tap in taps} == {
        "br0"
    }

    def plug(one: Any) -> tuple[Any, Any]:
        guest, _ = one
        folder = tmp_path / guest.name
        disk, nic = instance.disk(folder, 1), instance.nic(NAMES.index(guest.name) + COUNT)
        KVMHypervisor().HotAddDevice(guest, "disk", disk[0], disk[1:], 1)
        KVMHypervisor().HotAddDevice(guest, "nic", nic, None, 1)
        return disk, nic

    plugged = at_once(plug, made)
    places = [(disk[0].hvinfo["scsi-id"], nic.hvinfo["addr"]) for disk, nic in plugged]
    assert places == [(1, "0xd")] * COUNT
    for guest, _ in made:
        runtime = hypervisor._LoadKVMRuntime(guest)
        assert (len(runtime.kvm_disks), len(runtime.kvm_nics)) == (2, 2)
    assert listings.open_files() == before

    at_once(
        lambda number: KVMHypervisor().HotDelDevice(
            made[number][0], "disk", plugged[number][0][0], None, 1
        ),
        list(range(COUNT)),
    )
    at_once(lambda one: KVMHypervisor().StopInstance(one[0], force=True), made)
    at_once(lambda name: KVMHypervisor().CleanupInstance(name), NAMES)
    assert hypervisor.ListInstances() == []
    assert listings.open_files() == before
    assert set(NAMES) in listings.told
