"""Room for vCPUs and memory that a guest gets while it runs."""

from __future__ import annotations

from typing import Any

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm import command_line
from ganeti_hv_kvm.hv_kvm.command_line import memory, possible, vcpus
from ganeti_hv_kvm.hv_kvm.ganeti import generation
from unit.hv_kvm.command_line import samples

METHOD = "memory_hotplug_method"
ONE = {"driver": "qemu64-x86_64-cpu", "id": "cpu-0-2-0", "socket-id": 0, "core-id": 2}
OTHER = {**ONE, "id": "cpu-0-3-0", "core-id": 3}
OWN = ["-device", "qemu64-x86_64-cpu,id=mine,socket-id=0,core-id=9"]


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under a Ganeti that hot-plugs vCPUs and memory."""
    monkeypatch.setattr(generation, "VCPU_TARGET", "vcpu")
    monkeypatch.setattr(generation, "MEMORY_METHOD", METHOD)


def smp(number: int, memory_size: int = 4096, **hvparams: Any) -> str:
    made = samples.instance(**hvparams)
    made.beparams |= {constants.BE_VCPUS: number, constants.BE_MAXMEM: memory_size}
    return vcpus.processors(samples.start(made))[1]


def test_no_room_where_ganeti_asks_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "VCPU_TARGET", None)
    monkeypatch.setattr(generation, "MEMORY_METHOD", None)
    assert smp(2) == "2"
    made = samples.instance(**{METHOD: "virtio-mem"})
    assert memory.size(samples.start(made)) == ["-m", "1024"]


@pytest.mark.usefixtures("asked_for")
def test_more_vcpus_than_the_machine_can_have() -> None:
    with pytest.raises(errors.HypervisorError, match="can have 255"):
        smp(300, cpu_sockets=1)
    assert smp(255, cpu_sockets=1).startswith("255,")


@pytest.mark.usefixtures("asked_for")
@pytest.mark.parametrize(
    ("number", "topology", "said"),
    [
        (2, {}, "2,maxcpus=128"),
        (128, {}, "128,maxcpus=128"),
        (129, {}, "129"),
        (6, {"cpu_cores": 3}, "6,cores=3,maxcpus=129"),
        (4, {"cpu_threads": 2}, "4,threads=2,maxcpus=128"),
        (5, {"cpu_sockets": 2}, "5,cores=3,threads=1,maxcpus=129"),
        (8, {"cpu_sockets": 2, "cpu_cores": 2}, "8,cores=2,threads=2,maxcpus=128"),
        (9, {"cpu_sockets": 2, "cpu_cores": 2}, "9,cores=2,threads=2,maxcpus=128"),
        (2, {"acpi": False}, "2"),
        (2, {"cpu_mask": "0:1"}, "2"),
        (2, {"cpu_mask": "all"}, "2,maxcpus=128"),
        (2, {"kvm_extra": "-smp 4"}, "2"),
    ],
)
def test_room_for_vcpus(number: int, topology: dict[str, Any], said: str) -> None:
    assert smp(number, **topology) == said


@pytest.mark.usefixtures("asked_for")
@pytest.mark.parametrize(("size", "said"), [(64, "1,maxcpus=8"), (128, "1,maxcpus=16"), (4, "1")])
def test_a_small_guest_has_room_for_fewer(size: int, said: str) -> None:
    assert smp(1, size) == said


def test_what_was_added_is_kept_as_devices() -> None:
    command = ["qemu", "-smp", "2,maxcpus=16", *OWN]
    assert vcpus.maximum_of(command) == 16
    assert vcpus.maximum_of(["qemu", "-smp", "2"]) is None
    assert vcpus.keep_added(command, [ONE, OTHER])
    assert command[-4:] == [
        "-device",
        "qemu64-x86_64-cpu,id=cpu-0-2-0,socket-id=0,core-id=2",
        "-device",
        "qemu64-x86_64-cpu,id=cpu-0-3-0,socket-id=0,core-id=3",
    ]
    assert not vcpus.keep_added(command, [OTHER, ONE])
    assert [one["id"] for one in vcpus.added(command)] == ["cpu-0-2-0", "cpu-0-3-0"]
    assert vcpus.keep_added(command, [OTHER])
    assert command == [
        "qemu",
        "-smp",
        "2,maxcpus=16",
        *OWN,
        "-device",
        "qemu64-x86_64-cpu,id=cpu-0-3-0,socket-id=0,core-id=3",
    ]
    # of these a disk has its number of queues
    assert command_line.vcpus_of(command) == 2


@pytest.mark.usefixtures("asked_for")
def test_the_device_for_memory_is_asked_for_the_rest_at_each_execution() -> None:
    made = samples.instance(**{METHOD: "virtio-mem"})
    command = ["qemu", *memory.size(samples.start(made)), *memory.device({"bus": "pci.0"})]
    assert command[1:] == [
        "-m",
        "1024,maxmem=66560M",
        "-object",
        "memory-backend-ram,id=vmem0,size=65536M,reserve=off,dump=off",
        "-device",
        "virtio-mem-pci,id=vmem0,memdev=vmem0,block-size=1M,bus=pci.0",
    ]
    room = memory.room_of(command)
    assert room == (1024, 65536)
    for now, requested in ((1024, 0), (512, 0), (1536, 512), (10**6, 65536)):
        made.beparams[constants.BE_MAXMEM] = now
        words = memory.with_request(command, samples.completion(made))
        assert words[:-1] == command[:-1]
        assert words[-1] == f"{command[-1]},requested-size={requested}M"
    less = memory.with_request(command, samples.completion(made, memory=1100))
    assert less[-1].endswith(",requested-size=76M")


def test_a_command_without_it_stays_as_it_is() -> None:
    extra = ["-object", "memory-backend-ram,id=m1,size=64M", "-device", "virtio-mem-pci,id=m1"]
    command = ["qemu", "-m", "1024", *extra]
    assert memory.room_of(command) is None
    assert memory.with_request(command, samples.completion(samples.instance())) == command


@pytest.mark.usefixtures("asked_for")
@pytest.mark.parametrize(
    ("hvparams", "problem"),
    [
        ({}, None),
        ({"mem_path": "/hugepages"}, "beyond the huge pages"),
        ({"kvm_extra": "-m 2048"}, "a size of memory"),
        ({"kvm_extra": "-machine x"}, None),
        ({"kvm_extra": "-overcommit mem-lock=on"}, "locks the guest's memory"),
        ({"kvm_extra": "-overcommit mem-lock=off"}, None),
    ],
)
def test_what_does_not_go_with_it(hvparams: dict[str, Any], problem: str | None) -> None:
    hvp = {METHOD: "virtio-mem", **hvparams}
    found = list(possible.refusals({**samples.instance().hvparams, **hvp}, samples.facts()))
    assert [problem in one for one in found] == ([True] if problem else [])
    none = {**samples.instance().hvparams, **hvp, METHOD: "none"}
    assert list(possible.refusals(none, samples.facts())) == []


@pytest.mark.usefixtures("asked_for")
def test_a_qemu_without_the_device() -> None:
    facts = samples.old_facts("version 4.2.0\n", 'name "virtio-net-pci", bus PCI\n')
    hvp = {METHOD: "virtio-mem", "machine_version": "pc-i440fx-4.2"}
    found = list(possible.refusals(hvp, facts))
    assert [one for one in found if METHOD in one and "does not have" in one]
