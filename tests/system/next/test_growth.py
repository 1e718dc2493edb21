"""Guests that get vCPUs and memory while they run, as Ganeti will ask for it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm import QmpConnection
from ganeti_hv_kvm.hv_kvm.hotplug import memory, operations
from harness import guest, instance, migrants, node, paths, two_nodes
from harness.console import SerialConsole
from system.migration.conftest import make, qemu

__all__ = ["make", "qemu"]

NAME = "grow1.example.com"
BOOT_TIMEOUT = 90.0
VCPU, MEMORY = constants.HOTPLUG_TARGET_VCPU, constants.HOTPLUG_TARGET_MEMORY
#: A guest's udev would do that.
ONLINE_VCPUS = "for f in /sys/devices/system/cpu/cpu*/online; do echo 1 > $f; done"
WITH_MEMORY = {
    "memory_hotplug_method": "virtio-mem",
    "kernel_args": f"{guest.KERNEL_ARGS} memhp_default_state=online",
}


def made(binary: Path = paths.QEMU, machine: str = "pc", **more: Any) -> Any:
    return instance.instance(NAME, kvm_path=str(binary), machine_version=machine, **more)


def stored(hypervisor: Any) -> list[str]:
    command: list[str] = json.loads(hypervisor._ReadKVMRuntime(NAME))[0]
    return command


def value_of(command: list[str], switch: str) -> str:
    return command[command.index(switch) + 1]


def added_vcpus(command: list[str]) -> list[str]:
    return [id_ for word in command for id_ in re.findall(r"-cpu,id=(cpu-[\d-]+)", word)]


def ask(hypervisor: Any, command: str) -> Any:
    with QmpConnection(hypervisor._InstanceQmpMonitor(NAME)) as qmp:
        return qmp.execute_qmp(command)


def size(hypervisor: Any) -> tuple[int, int]:
    """MiB and vCPUs, as Ganeti lists them."""
    _, _, memory, vcpus, _, _ = hypervisor.GetInstanceInfo(NAME)
    (listed,) = hypervisor.GetAllInstancesInfo()
    assert listed[2:4] == (memory, vcpus)
    return memory, vcpus


@pytest.fixture
def console(hypervisor: Any) -> Iterator[Any]:
    opened: list[SerialConsole] = []

    def open_console() -> SerialConsole:
        for one in opened:  # QEMU serves one client at a time
            one.close()
        opened.append(SerialConsole(hypervisor._InstanceSerial(NAME)))
        return opened[-1]

    yield open_console
    for one in opened:
        one.close()


def wait_until(serial: SerialConsole, vcpus: int, least: int = 0, most: int = 10**6) -> int:
    """Until the guest sees so many vCPUs, and MiB of memory between the two; those MiB."""

    def sees(line: str) -> bool:
        at = guest.STATUS_LINE.search(line)
        return at is not None and int(at["cpus"]) == vcpus and least <= int(at["memory"]) <= most

    line = serial.wait_for(sees, BOOT_TIMEOUT)
    found = guest.STATUS_LINE.search(line)
    assert found
    return int(found["memory"])


@pytest.mark.parametrize(
    ("binary", "machine"),
    [pytest.param(paths.QEMU, "pc", marks=pytest.mark.long), (paths.QEMU_10, "q35")],
    ids=["7.2-pc", "10.0-q35"],
)
def test_a_guest_grows_and_is_so_large_after_a_reboot(hypervisor, console, binary, machine):
    # Linux sets 64 MiB aside where memory may come beyond 4 GiB
    wanted = made(binary, machine, memory=256, **WITH_MEMORY)
    hypervisor.StartInstance(wanted, [], False)
    before = wait_until(console(), 1)
    assert size(hypervisor) == (256, 1)
    for target, amount in ((VCPU, 3), (MEMORY, 448)):
        hypervisor.VerifyHotplugSupport(wanted, constants.HOTPLUG_ACTION_ADD, target)
        hypervisor.HotAddDevice(wanted, target, amount, None, 0)
    assert size(hypervisor) == (448, 3)
    serial = console()
    serial.send(ONLINE_VCPUS)
    wait_until(serial, 3, before + 180)

    words = stored(hypervisor)
    assert value_of(words, "-smp") == "1,maxcpus=32"
    assert value_of(words, "-m") == "256,maxmem=65792M"
    assert added_vcpus(words) == ["cpu-0-1-0", "cpu-0-2-0"]
    # the configuration says how much it is, not the file
    assert "requested-size" not in " ".join(words)

    wanted.beparams |= {"vcpus": 3, "maxmem": 448, "minmem": 448}
    hypervisor.RebootInstance(wanted)
    assert stored(hypervisor) == words
    wait_until(console(), 3, before + 180)
    assert size(hypervisor) == (448, 3)
    hypervisor.StopInstance(wanted, force=True)
    hypervisor.CleanupInstance(NAME)


def test_what_is_there_or_not_possible_changes_nothing(hypervisor):
    wanted = made(vcpus=2, **WITH_MEMORY)
    hypervisor.StartInstance(wanted, [], True)
    words = stored(hypervisor)
    hypervisor.HotModvCPUs(wanted, 2)
    hypervisor.HotModvCPUs(wanted, 1)
    hypervisor.HotAddMemory(wanted, 128)
    for request, refusal in (
        (lambda: hypervisor.HotModvCPUs(wanted, 17), r"room for 16 vCPUs, 17 are wanted"),
        (lambda: hypervisor.VerifyvCPUHotplugSupport(wanted, 17), r"room for 16 vCPUs"),
        (lambda: hypervisor.HotAddMemory(wanted, 127), r"has 128 MiB .* up to 65664 .* not 127"),
        (lambda: hypervisor.HotAddMemory(wanted, 65665), r"not 65665 MiB"),
        (lambda: hypervisor.VerifyMemoryHotplugSupport(wanted, 65665), r"not 65665 MiB"),
        (lambda: hypervisor.HotDelDevice(wanted, VCPU, 1, None, 0), r"no vcpu is taken"),
    ):
        with pytest.raises(errors.HotplugError, match=f"{refusal}.*next started") as raised:
            request()
        assert NAME in str(raised.value)
    assert stored(hypervisor) == words
    assert size(hypervisor) == (128, 2)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"acpi": False}, "its ACPI is off"),
        ({"cpu_mask": "0"}, "cpu_mask is '0'"),
        ({"kvm_extra": "-smp 1"}, "kvm_extra has an -smp"),
    ],
)
def test_a_guest_without_room(hypervisor, parameters, reason):
    wanted = made(**parameters)
    hypervisor.StartInstance(wanted, [], True)
    assert "maxcpus" not in " ".join(stored(hypervisor))
    with pytest.raises(errors.HotplugError, match=f"{reason}.*next started"):
        hypervisor.HotModvCPUs(wanted, 2)
    with pytest.raises(errors.HotplugError, match="without a device for more memory"):
        hypervisor.HotAddMemory(wanted, 256)
    assert size(hypervisor) == (128, 1)


@pytest.mark.parametrize(
    ("vcpus", "topology", "smp"),
    [
        (4, {}, "4,maxcpus=16"),
        (4, {"cpu_cores": 2}, "4,cores=2,maxcpus=16"),
        (6, {"cpu_cores": 3, "cpu_threads": 1}, "6,cores=3,threads=1,maxcpus=18"),
        (4, {"cpu_sockets": 2}, "4,cores=2,threads=1,maxcpus=16"),
        (4, {"cpu_cores": 2, "cpu_sockets": 2}, "4,cores=2,threads=1,maxcpus=16"),
        (
            4,
            {"cpu_cores": 2, "cpu_threads": 1, "cpu_sockets": 2},
            "4,cores=2,threads=1,maxcpus=16",
        ),
        # what a guest has become by hot-plug starts as well
        (5, {"cpu_cores": 2, "cpu_threads": 1, "cpu_sockets": 2}, "5,cores=2,threads=1,maxcpus=16"),
    ],
)
def test_vcpus_sit_as_they_would_without_room(hypervisor, vcpus, topology, smp):
    with_room = made(vcpus=vcpus, **topology)
    hypervisor.StartInstance(with_room, [], True)
    assert value_of(stored(hypervisor), "-smp") == smp
    places = [cpu["props"] for cpu in ask(hypervisor, "query-cpus-fast")]
    hypervisor.HotModvCPUs(with_room, vcpus + 1)
    assert len(ask(hypervisor, "query-cpus-fast")) == vcpus + 1
    hypervisor.StopInstance(with_room, force=True)
    hypervisor.CleanupInstance(NAME)
    if vcpus % 2 == 0:
        without = made(vcpus=vcpus, kvm_extra="-smp", **topology)
        without.hvparams["kvm_extra"] = f"-smp {vcpus}"
        hypervisor.StartInstance(without, [], True)
        assert [cpu["props"] for cpu in ask(hypervisor, "query-cpus-fast")] == places


def test_a_vcpu_that_the_file_does_not_know_is_noted_by_the_next_operation(hypervisor):
    wanted = made()
    hypervisor.StartInstance(wanted, [], True)
    before = hypervisor._ReadKVMRuntime(NAME)
    hypervisor.HotModvCPUs(wanted, 2)
    after = hypervisor._ReadKVMRuntime(NAME)
    hypervisor._WriteKVMRuntime(NAME, before)
    hypervisor.MigrationInfo(wanted)
    assert hypervisor._ReadKVMRuntime(NAME) == after


def test_a_guest_that_does_not_take_the_memory(hypervisor):
    wanted = made(**WITH_MEMORY)
    hypervisor.StartInstance(wanted, [], True)
    with pytest.raises(errors.HotplugError, match=r"asked to have 256 MiB, but has 128 MiB: it .*"):
        hypervisor.HotAddMemory(wanted, 256)
    assert size(hypervisor) == (128, 1)
    guest_ = hypervisor._Guest(wanted)
    runtime = operations.reconcile(guest_)
    with pytest.raises(errors.HotplugError, match="The wish stands"):
        memory.grow(guest_, runtime, 256, patience=0.1)


def test_it_has_a_place_of_its_own(hypervisor, tmp_path, bridge):
    disks = [instance.disk(tmp_path)]
    wanted = made(disks=disks, nics=[instance.nic()], **WITH_MEMORY)
    hypervisor.StartInstance(wanted, disks, True)
    places = [word for word in stored(hypervisor) if word.startswith("virtio-mem-pci")]
    assert [re.findall(r"bus=.*", word) for word in places] == [["bus=pci.0,addr=0xe"]]
    more, link, uri = instance.disk(tmp_path, 1)
    hypervisor.HotAddDevice(wanted, constants.HOTPLUG_TARGET_DISK, more, (link, uri), 1)
    assert more.hvinfo["addr"] == "0xf"


@pytest.fixture(scope="module")
def nodes(bridge: str) -> Iterator[two_nodes.Pair]:
    with two_nodes.pair(("next", node.OURS), ("next", node.OURS)) as made:
        yield made


def test_a_guest_that_has_grown_migrates(nodes, make):
    ticks = f"{WITH_MEMORY['kernel_args']} guest.ticks"
    parameters = {**WITH_MEMORY, "kernel_args": ticks, **migrants.ONE_PASS}
    wanted = make(nodes, memory=256, **parameters)
    with migrants.serial(nodes.source, wanted) as serial:
        migrants.next_tick(serial)
        nodes.source.call("HotModvCPUs", wanted, 2)
        nodes.source.call("HotAddMemory", wanted, 384)
    grown = {**wanted, "vcpus": 2, "memory": 384}
    nodes.migrate(grown)
    assert len(nodes.target.qemu(wanted["name"], "query-cpus-fast")) == 2
    (device,) = nodes.target.qemu(wanted["name"], "query-memory-devices")
    assert device["data"]["size"] == device["data"]["requested-size"] == 128 << 20
    assert nodes.target.call("GetInstanceInfo", wanted)[2:4] == [384, 2]
    with migrants.serial(nodes.target, wanted) as serial:
        migrants.next_tick(serial)
