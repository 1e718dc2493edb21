"""Disks served by threads of their own: what QEMU has of them, and a guest that notices nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ganeti import constants

from ganeti_hv_kvm.hv_kvm import QmpConnection
from harness import instance, migrants, node, paths, two_nodes
from system.migration.conftest import make

__all__ = ["make"]

NAME = "threads1.example.com"
QEMUS = {"7.2": str(paths.QEMU), "10.0": str(paths.QEMU_10)}


def started(hypervisor: Any, folder: Path, **parameters: Any) -> Any:
    disks = [instance.disk(folder)]
    wanted: dict[str, Any] = {"disk_aio": "native", "disk_cache": "none", **parameters}
    made = instance.instance(NAME, disks=disks, vcpus=2, **wanted)
    hypervisor.ValidateParameters(made.hvparams)
    hypervisor.StartInstance(made, disks, True)
    return made


def ask(hypervisor: Any, command: str, **arguments: Any) -> Any:
    with QmpConnection(hypervisor._InstanceQmpMonitor(NAME)) as qmp:
        return qmp.execute_qmp(command, arguments)


def threads(hypervisor: Any) -> list[str]:
    return sorted(thread["id"] for thread in ask(hypervisor, "query-iothreads"))


def disk_property(hypervisor: Any, index: int, name: str) -> Any:
    devid = json.loads(Path(hypervisor._InstanceKVMRuntime(NAME)).read_text())[3][index][0]
    path = f"/machine/peripheral/{devid['hvinfo']['id']}"
    return ask(hypervisor, "qom-get", path=path, property=name)


def hvinfo(hypervisor: Any, index: int) -> dict[str, Any]:
    runtime = json.loads(Path(hypervisor._InstanceKVMRuntime(NAME)).read_text())
    return runtime[3][index][0]["hvinfo"]


def add_disk(hypervisor: Any, made: Any, folder: Path) -> None:
    disk, link, uri = instance.disk(folder, 1)
    hypervisor.HotAddDevice(made, constants.HOTPLUG_TARGET_DISK, disk, (link, uri), 1)


@pytest.mark.parametrize("qemu", QEMUS.values(), ids=QEMUS.keys())
@pytest.mark.parametrize("wish", [0, 1, 2, 8])
def test_disks_of_a_start_and_a_later_one(hypervisor, tmp_path, qemu, wish):
    made = started(hypervisor, tmp_path, kvm_path=qemu, virtio_disk_iothreads=wish)
    # 7.2 cannot share the queues of a disk among threads; none has more threads than queues
    number = min(wish, 2 if qemu == QEMUS["10.0"] else 1)
    assert threads(hypervisor) == [f"iothread{index}" for index in range(number)]
    add_disk(hypervisor, made, tmp_path)
    for index in (0, 1):
        if number == 1:
            thread = disk_property(hypervisor, index, "iothread")
            assert thread == "/objects/iothread0"
        elif number == 2:
            mapping = disk_property(hypervisor, index, "iothread-vq-mapping")
            assert [entry["iothread"] for entry in mapping] == ["iothread0", "iothread1"]
        if number:
            assert disk_property(hypervisor, index, "num-queues") == 2
    assert "iothread" not in str(hvinfo(hypervisor, 0))
    assert ("num-queues" in hvinfo(hypervisor, 1)) == bool(number)


@pytest.mark.parametrize("qemu", QEMUS.values(), ids=QEMUS.keys())
@pytest.mark.parametrize("wish", [1, 2])
def test_the_scsi_controller_has_them_for_its_disks(hypervisor, tmp_path, qemu, wish):
    image = tmp_path / "cd.iso"
    image.write_bytes(bytes(1 << 20))
    scsi = {
        "disk_type": "scsi-hd", "scsi_controller_type": "virtio-scsi-pci",
        "cdrom_disk_type": "scsi-cd", "cdrom_image_path": str(image),
    }  # fmt: skip
    made = started(hypervisor, tmp_path, kvm_path=qemu, virtio_disk_iothreads=wish, **scsi)
    number = wish if qemu == QEMUS["10.0"] else 1
    assert threads(hypervisor) == [f"iothread{index}" for index in range(number)]
    controller = "/machine/peripheral/scsi"
    assert ask(hypervisor, "qom-get", path=controller, property="num_queues") == 2
    add_disk(hypervisor, made, tmp_path)
    assert "iothread" not in str(hvinfo(hypervisor, 1))


@pytest.mark.parametrize(
    "parameters",
    [
        {"disk_aio": "threads"},
        {"disk_type": "scsi-hd", "scsi_controller_type": "lsi"},
        {"disk_type": "ide"},
    ],
    ids=str,
)
def test_none_where_they_would_serve_nothing(hypervisor, tmp_path, parameters):
    started(hypervisor, tmp_path, virtio_disk_iothreads=1, **parameters)
    assert threads(hypervisor) == []


def test_an_administrators_own_thread_of_that_name(hypervisor, tmp_path):
    extra = "-object iothread,id=iothread0"
    started(hypervisor, tmp_path, virtio_disk_iothreads=1, kvm_extra=extra)
    assert threads(hypervisor) == ["iothread0"]


def test_a_guest_from_before_keeps_none_when_it_restarts(hypervisor, tmp_path):
    made = started(hypervisor, tmp_path, virtio_disk_iothreads=0)
    file = Path(hypervisor._InstanceKVMRuntime(NAME))
    runtime = json.loads(file.read_text())
    del runtime[2]["virtio_disk_iothreads"]
    file.write_text(json.dumps(runtime))
    made.hvparams["virtio_disk_iothreads"] = 1
    add_disk(hypervisor, made, tmp_path)
    assert "iothread" not in str(hvinfo(hypervisor, 1))
    hypervisor.RebootInstance(made)
    assert threads(hypervisor) == []


def test_as_many_queues_as_the_guest_was_started_with(hypervisor, tmp_path):
    """More vCPUs in the configuration are there after a cold start; until then queues are not."""
    made = started(hypervisor, tmp_path, kvm_path=QEMUS["10.0"], virtio_disk_iothreads=4)
    made.beparams[constants.BE_VCPUS] = 4
    add_disk(hypervisor, made, tmp_path)
    for _ in ("as it was started", "as a reboot makes it, or the target of a migration"):
        assert len(ask(hypervisor, "query-cpus-fast")) == 2
        assert threads(hypervisor) == ["iothread0", "iothread1"]
        assert [disk_property(hypervisor, index, "num-queues") for index in (0, 1)] == [2, 2]
        hypervisor.RebootInstance(made)


@pytest.fixture
def qemu(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def nodes(bridge: str) -> Iterator[two_nodes.Pair]:
    """One whose Ganeti knows of threads, and one whose does not."""
    with two_nodes.pair(("dev", node.OURS), ("3.1", node.OURS)) as made:
        yield made


@pytest.mark.parametrize("qemu", QEMUS.values(), ids=QEMUS.keys(), indirect=True)
def test_there_and_back_where_ganeti_knows_no_threads(nodes, make, tmp_path, qemu):
    aio = {"disk_aio": "native", "disk_cache": "none", "virtio_disk_iothreads": 2}
    guest = make(nodes, disk_folder=str(tmp_path), vcpus=2, **aio, **migrants.ONE_PASS)
    name = guest["name"]
    born = nodes.source.qemu(name, "query-iothreads")
    assert born
    nodes.migrate(guest)
    assert nodes.run_states(name) == ("gone", "running")
    assert nodes.target.qemu(name, "query-iothreads") == []
    back = nodes.reversed()
    back.migrate(guest)
    assert back.run_states(name) == ("gone", "running")
    # what it was started with counts: there is no reason to lose it on the way
    assert len(back.target.qemu(name, "query-iothreads")) == len(born)
