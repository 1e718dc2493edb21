"""One guest for the tests of a file; each test leaves it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import instance, leftovers
from system.hotplug.running import NAME, QEMU, Running

#: Short, for tests in which nobody answers; far above what an answer takes.
QMP_TIMEOUT = "1"
UNPLUG_TIMEOUT = "2"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANETI_HV_KVM_QMP_TIMEOUT", QMP_TIMEOUT)
    monkeypatch.setenv("GANETI_HV_KVM_UNPLUG_TIMEOUT", UNPLUG_TIMEOUT)


@pytest.fixture(scope="module")
def make_running(bridge: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A function that starts a guest with these parameters; it ends with the file's tests."""
    from ganeti_hv_kvm.hv_kvm import KVMHypervisor

    hypervisor = KVMHypervisor()
    before = leftovers.take(Path(KVMHypervisor._ROOT_DIR))
    started: list[Running] = []

    def make(*, paused: bool = False, **parameters: object) -> Running:
        for other in started:
            other.stop()
        started.clear()
        folder = tmp_path_factory.mktemp("disks")
        disks = [instance.disk(folder)]
        parameters = {"kvm_path": str(QEMU), **parameters}
        made = instance.instance(NAME, nics=[instance.nic()], disks=disks, **parameters)
        running = Running(hypervisor, made, folder, disks)
        running.start(paused=paused)
        started.append(running)
        return running

    yield make
    for running in started:
        running.stop()
    left = leftovers.take(Path(KVMHypervisor._ROOT_DIR)).added_since(before)
    # pytest has its own way with descriptors here; each test compares them.
    assert [one for one in left if not one.startswith("open file")] == []


@pytest.fixture(scope="module")
def guest_of_file(make_running) -> Running:
    return make_running()


@pytest.fixture
def running(guest_of_file: Running) -> Iterator[Running]:
    """The file's guest; a test that leaves it changed fails."""
    before = guest_of_file.state()
    yield guest_of_file
    assert guest_of_file.state() == before
