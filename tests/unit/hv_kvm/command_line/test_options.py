"""What an instance's tags add to the command line."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm import command_line
from ganeti_hv_kvm.hv_kvm.command_line import iothreads, memory_backing
from ganeti_hv_kvm.hv_kvm.ganeti import guest_options
from ganeti_hv_kvm.hv_kvm.ganeti.guest_options import Options

from . import samples

DIALECTS = pytest.mark.parametrize("dialect", samples.DIALECTS.values(), ids=samples.DIALECTS)


def options(*tags: str) -> Options:
    found, problems = guest_options.parse([f"hv-kvm:{tag}" for tag in tags])
    assert problems == []
    return found


def stored(*tags: str, facts: Any = None, **hvparams: Any) -> list[str]:
    made = samples.instance(**hvparams)
    more = {"facts": facts} if facts else {}
    return command_line.build(samples.start(made, options=options(*tags), **more))


def completed(dialect: Any, *tags: str, qemu: str = "7.2", **hvparams: Any) -> list[str]:
    made = samples.instance(**hvparams)
    return samples.whole(
        made, [samples.disk()], dialect, facts=samples.facts(qemu), options=options(*tags)
    )


def values(command: list[str], switch: str) -> list[str]:
    return [value for word, value in itertools.pairwise(command) if word == switch]


def added(*tags: str, **hvparams: Any) -> list[str]:
    """The words that tags add, in order; nothing else may change."""
    plain, tagged = stored(**hvparams), stored(*tags, **hvparams)
    assert tagged[: len(plain)] == plain
    return tagged[len(plain) :]


def test_no_tags_change_nothing() -> None:
    assert added() == []


def test_devices_of_a_pc() -> None:
    assert added("rng", "watchdog:reset", "panic:pause", kvm_extra="-device virtio-rng-pci") == [
        *("-device", "virtio-rng-pci,id=hv-kvm-rng"),
        *("-device", "i6300esb,id=hv-kvm-watchdog", "-action", "watchdog=reset"),
        *("-device", "pvpanic,id=hv-kvm-panic", "-action", "panic=pause"),
    ]


def test_devices_of_a_q35_have_slots_of_their_own() -> None:
    assert added("rng", "watchdog:none", machine_version="q35")[1::2] == [
        "virtio-rng-pci,id=hv-kvm-rng,bus=pcie.0,addr=0x1b",
        "i6300esb,id=hv-kvm-watchdog,bus=pcie.0,addr=0x1c",
        "watchdog=none",
    ]


def test_devices_of_a_q35_come_before_those_of_kvm_extra() -> None:
    """Fault: QEMU gave their slots to devices of kvm_extra, and refused theirs."""
    extra = "-device virtio-net-pci -action watchdog=pause"
    command = stored("rng", "watchdog:none", machine_version="q35", kvm_extra=extra)
    assert values(command, "-device")[-3:] == [
        "virtio-rng-pci,id=hv-kvm-rng,bus=pcie.0,addr=0x1b",
        "i6300esb,id=hv-kvm-watchdog,bus=pcie.0,addr=0x1c",
        "virtio-net-pci",
    ]
    assert values(command, "-action") == ["watchdog=pause", "watchdog=none"]


def test_no_balloon() -> None:
    assert command_line.has_balloon(stored())
    assert not command_line.has_balloon(stored("balloon:off"))
    assert command_line.has_balloon(stored("balloon:on"))


def test_a_q35_without_balloon_has_something_in_the_first_function_of_its_slot() -> None:
    devices = values(stored("balloon:off", machine_version="q35"), "-device")
    first = [device for device in devices if "addr=0x2.0" in device]
    assert first == [
        "pcie-root-port,id=rp2,bus=pcie.0,addr=0x2.0,multifunction=on,chassis=2,port=2"
    ]


def test_an_old_qemu() -> None:
    old = samples.old_facts(samples.facts().help.replace("\n-action ", "\n-faction "))
    command = stored("watchdog:reset", facts=old)
    assert command[-2:] == ["-watchdog-action", "reset"]
    with pytest.raises(errors.HypervisorError, match=r"has no -action, which the tag hv-kvm:panic"):
        stored("panic:pause", facts=old)


def test_a_qemu_without_the_device() -> None:
    bare = samples.old_facts(samples.facts().help, 'name "virtio-blk-pci", bus PCI\n')
    with pytest.raises(errors.HypervisorError, match="no device i6300esb, which the tag hv-kvm:wa"):
        stored("watchdog:reset", facts=bare)


# Threads

needs_tag = pytest.mark.skipif(
    iothreads.PARAMETER is not None, reason="this Ganeti has a parameter for it"
)


def disks(command: list[str]) -> list[str]:
    return [device for device in values(command, "-device") if "disk-d0" in device]


@needs_tag
@DIALECTS
def test_one_thread(dialect: Any) -> None:
    command = completed(dialect, "iothreads:3", disk_aio="native")
    assert values(command, "-object") == ["iothread,id=iothread0"]
    (disk,) = disks(command)
    assert ",iothread=iothread0" in disk
    assert "num-queues" not in disk  # QEMU's own choice, which the guest keeps elsewhere
    # nothing else changes
    expected = completed(dialect, disk_aio="native")
    without = [word.replace(",iothread=iothread0", "") for word in command]
    at = without.index("iothread,id=iothread0")
    assert without[: at - 1] + without[at + 1 :] == expected


@needs_tag
@DIALECTS
def test_several_threads(dialect: Any) -> None:
    command = completed(dialect, "iothreads:3", qemu="10.0", disk_aio="native")
    facts = samples.facts("10.0")
    expected = 2 if facts.can_map_queues(iothreads.BLK_DRIVER) else 1  # vCPUs
    assert len(values(command, "-object")) == expected
    if expected > 1:
        (disk,) = (json.loads(one) for one in disks(command))
        assert [one["iothread"] for one in disk["iothread-vq-mapping"]] == [
            "iothread0",
            "iothread1",
        ]


@needs_tag
@DIALECTS
def test_a_thread_for_a_scsi_controller(dialect: Any) -> None:
    command = completed(
        dialect,
        "iothreads:3",
        disk_aio="native",
        disk_type="scsi-hd",
        scsi_controller_type="virtio-scsi-pci",
    )
    assert values(command, "-object") == ["iothread,id=iothread0"]
    assert "virtio-scsi-pci,id=scsi,iothread=iothread0" in command


@pytest.mark.parametrize(
    ("hvparams", "why"),
    [
        ({}, "disk_aio is threads"),
        ({"disk_aio": "native", "disk_type": "ide"}, "neither paravirtual"),
        ({"disk_aio": "native", "disk_type": "scsi-hd"}, "neither paravirtual"),
        ({"disk_aio": "native"}, None),
    ],
)
def test_why_no_threads(hvparams: dict[str, Any], why: str | None) -> None:
    said = iothreads.why_none(samples.instance(**hvparams).hvparams)
    assert (why in said) if why and said else said is why


# Memory


@DIALECTS
@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (["numa:0-1"], "memory-backend-ram,{},host-nodes=0-1,policy=bind"),
        (["hugepages"], "memory-backend-memfd,{},hugetlb=on,prealloc=on"),
        (["hugepages:2M"], "memory-backend-memfd,{},hugetlb=on,hugetlbsize=2M,prealloc=on"),
        (
            ["hugepages:1G", "numa:1"],
            "memory-backend-memfd,{},hugetlb=on,hugetlbsize=1G,prealloc=on,host-nodes=1,policy=bind",
        ),
    ],
)
def test_memory(dialect: Any, tags: list[str], words: str) -> None:
    command = completed(dialect, *tags)
    common = "id=pc.ram,size=1024M,x-use-canonical-path-for-ramblock-id=off"
    assert words.format(common) in values(command, "-object")
    assert "memory-backend=pc.ram" in values(command, "-machine")


@pytest.mark.parametrize(
    ("hvparams", "why"),
    [
        ({"mem_path": "/dev/hugepages"}, "mem_path is set"),
        ({"kvm_extra": "-m 256,slots=2,maxmem=1G"}, "kvm_extra says -m"),
        ({"kvm_extra": "-smp 2 -numa node"}, "kvm_extra says -m"),
        ({"machine_version": "microvm"}, "machine microvm is neither a pc nor a q35"),
        ({"machine_version": "pc-q35-7.2", "kvm_extra": "-machine x -msg y"}, None),
        ({}, None),
    ],
)
def test_why_no_memory_by_tag(hvparams: dict[str, Any], why: str | None) -> None:
    said = memory_backing.why_none(samples.instance(**hvparams).hvparams)
    assert (why in said) if why and said else said is why


@pytest.mark.parametrize(
    ("command", "size"),
    [
        (["-m", 1024], 1024),
        (["-m", "256,slots=2,maxmem=8G"], 256),
        (["-m", "512", "-m", "9"], 512),
        (["-m"], 0),
        ([], 0),
        (["-m", "x"], 0),
    ],
)
def test_size_of_memory(command: list[object], size: int) -> None:
    assert memory_backing.mebibytes(command) == size
