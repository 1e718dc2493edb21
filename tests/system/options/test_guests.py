"""Options by tag, as QEMU has them: at the start, for a disk or NIC that comes, after a reboot."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm import QmpConnection
from ganeti_hv_kvm.hv_kvm.command_line import iothreads
from harness import console, instance, paths
from harness.guest import STATUS_LINE

pytestmark = [pytest.mark.only_3_1, pytest.mark.one_in(2)]

NAME = "tags1.example.com"
BOOT_TIMEOUT = 90.0
# Each Ganeti with the QEMU of its own Debian.
_IS_OLD = os.environ.get("GANETI_UNDER_TEST", "3.0") == "3.0"
QEMUS = pytest.mark.parametrize(
    "qemu", [paths.QEMU if _IS_OLD else paths.QEMU_10], ids=["7.2" if _IS_OLD else "10.0"]
)
MIB = 1 << 20


def make(folder: Path, *tags: str, disks: int = 1, nics: int = 1, **wanted: Any) -> tuple[Any, Any]:
    found = [instance.disk(folder, number) for number in range(disks)]
    cards = [instance.nic(number) for number in range(nics)]
    made = instance.instance(NAME, disks=found, nics=cards, **wanted)
    made.tags = [f"hv-kvm:{tag}" for tag in tags]
    return made, found


def ask(hypervisor: Any, command: str, **arguments: Any) -> Any:
    with QmpConnection(hypervisor._InstanceQmpMonitor(NAME)) as qmp:
        return qmp.execute_qmp(command, arguments or None)


def limits(hypervisor: Any) -> list[tuple[int, int, str]]:
    """(requests, bytes, group) of each disk."""
    found = [one["inserted"] for one in ask(hypervisor, "query-block") if "inserted" in one]
    return [(disk["iops"], disk["bps"], disk.get("group", "")) for disk in found]


def pci_devices(hypervisor: Any) -> set[tuple[int, int]]:
    """(vendor, device) of each PCI device."""
    found = ask(hypervisor, "query-pci")[0]["devices"]
    return {(one["id"]["vendor"], one["id"]["device"]) for one in found}


def mtu(hypervisor: Any, nic: Any) -> int:
    path = f"/machine/peripheral/{nic.hvinfo['id']}"
    return int(ask(hypervisor, "qom-get", path=path, property="host_mtu"))


def words(hypervisor: Any) -> list[str]:
    pid = hypervisor.GetInstanceInfo(NAME)[1]
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


@pytest.fixture
def jumbo(bridge: str) -> Iterator[str]:
    """The node's bridge, with an MTU of 9000."""
    yield from _with_mtu(bridge, 9000)


def _with_mtu(bridge: str, value: int) -> Iterator[str]:
    for number in (value, 1500):
        subprocess.run(["ip", "link", "set", bridge, "mtu", str(number)], check=True)
        if number == value:
            yield bridge


# Refused, or only told


@pytest.mark.parametrize(
    ("tags", "parameters", "says"),
    [
        (["rgn"], {}, "there is no option 'rgn'"),
        (["disk-iops:many", "mtu:1"], {}, "mtu may be 68 to 65535"),
        (["balloon:off"], {"minimum_memory": 64}, "minmem is 64 and maxmem 128"),
        (["iothreads:1"], {"disk_aio": "threads"}, "disk_aio is threads, which has threads"),
        (["iothreads:1"], {"disk_type": "ide", "disk_aio": "native"}, "neither paravirtual nor"),
        (["mtu:1400"], {"nic_type": "e1000"}, "only a NIC of the type paravirtual"),
        (["mtu:9000"], {}, "has an MTU of 1500, and would drop larger packets"),
        (["hugepages:1G"], {}, "tag hv-kvm:hugepages: "),
        (["hugepages"], {"mem_path": "/dev/shm"}, "mem_path is set"),
        (["numa:77-78"], {}, "this host has no NUMA node 77, 78"),
        (["numa:0"], {"kvm_extra": "-m 192M"}, "kvm_extra says -m, -mem-path or -numa"),
    ],
)
def test_a_wrong_tag_refuses_a_start(hypervisor, tmp_path, nothing_left, tags, parameters, says):
    made, disks = make(tmp_path, *tags, **parameters)
    with pytest.raises(errors.HypervisorError) as caught:
        hypervisor.StartInstance(made, disks, True)
    assert says in str(caught.value)
    nothing_left()


def test_a_wrong_tag_costs_a_guest_that_runs_nothing(hypervisor, tmp_path, caplog):
    made, disks = make(tmp_path, "disk-iops:50", "numa:0")
    hypervisor.StartInstance(made, disks, True)
    made.tags = ["hv-kvm:disk-iops:60", "hv-kvm:disk-bps:lots", "hv-kvm:rgn", "hv-kvm:numa:77"]
    caplog.set_level(logging.WARNING)
    disk, link, uri = instance.disk(tmp_path, 1)
    hypervisor.HotAddDevice(made, constants.HOTPLUG_TARGET_DISK, disk, (link, uri), 1)
    hypervisor.RebootInstance(made)
    assert limits(hypervisor) == [(60, 0, made.uuid)] * 2
    for text in ("hv-kvm:disk-bps:lots", "there is no option 'rgn'", "no NUMA node 77"):
        assert text in caplog.text


# Limits


@QEMUS
@pytest.mark.parametrize("kind", ["paravirtual", "scsi-hd", "ide"])
def test_limits(hypervisor, tmp_path, qemu, kind):
    made, disks = make(
        tmp_path,
        *("disk-iops:500", "disk-bps:1M", "disk1-iops:20"),
        disks=2,
        disk_type=kind,
        kvm_path=str(qemu),
    )
    hypervisor.StartInstance(made, disks, True)
    common, own = (500, MIB, made.uuid), (20, MIB, f"{made.uuid}-{disks[1][0].hvinfo['id']}")
    assert limits(hypervisor) == [common, own]
    if kind == "ide":
        return
    disk, link, uri = instance.disk(tmp_path, 2)
    hypervisor.HotAddDevice(made, constants.HOTPLUG_TARGET_DISK, disk, (link, uri), 2)
    assert sorted(limits(hypervisor)) == sorted([common, own, common])
    hypervisor.RebootInstance(made)
    assert sorted(limits(hypervisor)) == sorted([common, own, common])


def test_a_limit_follows_the_number_of_a_disk(hypervisor, tmp_path):
    """Ganeti counts disks without gaps: one that is put before another is disk 0 now."""
    made, disks = make(tmp_path, "disk0-iops:20")
    hypervisor.StartInstance(made, disks, True)
    old = f"{made.uuid}-{disks[0][0].hvinfo['id']}"
    assert limits(hypervisor) == [(20, 0, old)]
    disk, link, uri = instance.disk(tmp_path, 1)
    hypervisor.HotAddDevice(made, constants.HOTPLUG_TARGET_DISK, disk, (link, uri), 0)
    assert sorted(limits(hypervisor)) == [(0, 0, ""), (20, 0, f"{made.uuid}-{disk.hvinfo['id']}")]


def test_none_where_none_is_asked_for(hypervisor, tmp_path):
    made, disks = make(tmp_path)
    hypervisor.StartInstance(made, disks, True)
    assert limits(hypervisor) == [(0, 0, "")]
    assert not any("hv-kvm" in word or "host_mtu" in word for word in words(hypervisor))


# What the guest is born with


@QEMUS
@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_devices(hypervisor, tmp_path, qemu, machine):
    """rng, watchdog, pvpanic, and no balloon; a changed tag waits for the next cold start."""
    tags = ["rng", "watchdog:poweroff", "panic:pause", "balloon:off"]
    wanted: dict[str, Any] = {"kvm_path": str(qemu), "machine_version": machine}
    made, disks = make(tmp_path, *tags, **wanted)
    hypervisor.StartInstance(made, disks, True)
    rng, balloon, watchdog = {0x1005, 0x1044}, {0x1002, 0x1045}, (0x8086, 0x25AB)

    def has_all() -> bool:
        found = pci_devices(hypervisor)
        devices = {device for vendor, device in found if vendor == 0x1AF4}
        return bool(devices & rng) and not devices & balloon and watchdog in found

    assert has_all()
    peripheral = ask(hypervisor, "qom-list", path="/machine/peripheral")
    types = {one["name"]: one["type"] for one in peripheral}
    assert types["hv-kvm-panic"] == "child<pvpanic>"
    for action in ("watchdog=poweroff", "panic=pause"):
        assert action in words(hypervisor)
    # the memory is told without a balloon, too
    assert hypervisor.GetInstanceInfo(NAME)[2] == 128
    made.tags = []
    hypervisor.RebootInstance(made)
    assert has_all()
    hypervisor.StopInstance(made, force=True)
    hypervisor.CleanupInstance(NAME)
    hypervisor.StartInstance(made, disks, True)
    devices = {device for vendor, device in pci_devices(hypervisor) if vendor == 0x1AF4}
    assert devices & balloon
    assert not devices & rng


@QEMUS
@pytest.mark.parametrize(
    "extra", ["-device virtio-serial-pci", "-device e1000e -device nec-usb-xhci"]
)
def test_devices_of_a_q35_beside_those_of_kvm_extra(hypervisor, tmp_path, qemu, extra):
    wanted: dict[str, Any] = {"machine_version": "q35", "kvm_extra": extra}
    made, disks = make(tmp_path, "rng", "watchdog:reset", kvm_path=str(qemu), **wanted)
    hypervisor.StartInstance(made, disks, True)
    found = pci_devices(hypervisor)
    hypervisor.RebootInstance(made)
    assert pci_devices(hypervisor) == found


def test_a_guest_without_balloon_reboots_with_less_memory_to_spare(hypervisor, tmp_path, caplog):
    """minmem was lowered while it ran: it has no balloon that could be told so."""
    made, disks = make(tmp_path, "balloon:off")
    hypervisor.StartInstance(made, disks, False)
    made.beparams[constants.BE_MAXMEM] = 1 << 30  # more than any node has
    hypervisor.RebootInstance(made)
    assert hypervisor.GetInstanceInfo(NAME) is not None
    with pytest.raises(errors.HypervisorError, match="balloon"):
        hypervisor.BalloonInstanceMemory(made, 64)


# MTU


@QEMUS
@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_mtu_of_the_bridge(hypervisor, tmp_path, jumbo, qemu, machine):
    made, disks = make(tmp_path, machine_version=machine, kvm_path=str(qemu))
    hypervisor.StartInstance(made, disks, True)
    born = made.nics[0]
    assert mtu(hypervisor, born) == 9000
    subprocess.run(["ip", "link", "set", jumbo, "mtu", "2000"], check=True)
    added = instance.nic(1)
    hypervisor.HotAddDevice(made, constants.HOTPLUG_TARGET_NIC, added, None, 1)
    assert (mtu(hypervisor, born), mtu(hypervisor, added)) == (9000, 2000)
    # whatever the bridge has later: a guest keeps what it was born with
    subprocess.run(["ip", "link", "set", jumbo, "mtu", "1500"], check=True)
    hypervisor.RebootInstance(made)
    assert (mtu(hypervisor, born), mtu(hypervisor, added)) == (9000, 2000)


def test_a_nic_that_was_born_without_stays_so(hypervisor, tmp_path, bridge):
    made, disks = make(tmp_path)
    hypervisor.StartInstance(made, disks, True)
    for _ in _with_mtu(bridge, 9000):
        hypervisor.RebootInstance(made)
    assert "host_mtu" not in " ".join(words(hypervisor))


@pytest.mark.parametrize(
    ("tag", "expected"),
    [("mtu:1400", 1400), ("mtu:9000", 9000), ("mtu:off", 0), ("mtu:auto", 9000)],
)
def test_mtu_by_tag(hypervisor, tmp_path, jumbo, tag, expected):
    made, disks = make(tmp_path, tag)
    hypervisor.StartInstance(made, disks, True)
    assert mtu(hypervisor, made.nics[0]) == expected


def test_mtu_switched_off_for_all(hypervisor, tmp_path, jumbo, monkeypatch):
    monkeypatch.setenv("GANETI_HV_KVM_NIC_MTU", "off")
    made, disks = make(tmp_path)
    hypervisor.StartInstance(made, disks, True)
    assert mtu(hypervisor, made.nics[0]) == 0


def test_a_changed_nic_has_the_mtu_of_its_new_network(hypervisor, tmp_path, bridge):
    made, disks = make(tmp_path)
    hypervisor.StartInstance(made, disks, False)
    assert mtu(hypervisor, made.nics[0]) == 0
    with console.SerialConsole(hypervisor._InstanceSerial(NAME)) as guest:
        guest.wait_for(STATUS_LINE.search, BOOT_TIMEOUT)
    for _ in _with_mtu(bridge, 1400):
        changed = instance.nic(0)
        changed.mac = "aa:00:00:12:34:77"
        hypervisor.HotModDevice(made, constants.HOTPLUG_TARGET_NIC, changed, None, 0)
        assert mtu(hypervisor, changed) == 1400


# Threads and memory


@pytest.mark.skipif(iothreads.PARAMETER is not None, reason="the tag is a parameter here")
@QEMUS
@pytest.mark.parametrize("kind", ["paravirtual", "scsi-hd"])
def test_threads(hypervisor, tmp_path, qemu, kind):
    parameters: dict[str, Any] = {"disk_type": kind, "kvm_path": str(qemu), "vcpus": 2}
    parameters["scsi_controller_type"] = "virtio-scsi-pci"
    made, disks = make(tmp_path, "iothreads:2", disk_aio="native", disk_cache="none", **parameters)
    hypervisor.StartInstance(made, disks, True)
    several = qemu == paths.QEMU_10 and kind == "paravirtual"
    expected = {"iothread0", "iothread1"} if several else {"iothread0"}

    def threads() -> set[str]:
        return {one["id"] for one in ask(hypervisor, "query-iothreads")}

    assert threads() == expected
    stored = Path(hypervisor._InstanceKVMRuntime(NAME)).read_text()
    assert "iothread" not in stored.replace("iothreads", "")
    disk, link, uri = instance.disk(tmp_path, 1)
    hypervisor.HotAddDevice(made, constants.HOTPLUG_TARGET_DISK, disk, (link, uri), 1)
    stored = Path(hypervisor._InstanceKVMRuntime(NAME)).read_text()
    assert "iothread" not in stored.replace("iothreads", "")
    if kind == "paravirtual":
        path = f"/machine/peripheral/{disk.hvinfo['id']}"
        if several:
            found = ask(hypervisor, "qom-get", path=path, property="iothread-vq-mapping")
            assert {one["iothread"] for one in found} == expected
        else:
            assert "iothread0" in ask(hypervisor, "qom-get", path=path, property="iothread")
    made.tags = []
    hypervisor.RebootInstance(made)
    assert threads() == set()


@pytest.fixture
def huge_pages() -> Iterator[Path]:
    """80 pages of 2 MiB are free; the file says how many there are."""
    count = Path("/proc/sys/vm/nr_hugepages")
    free = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")
    before = count.read_text()
    count.write_text(str(int(before) + 80))
    try:
        if int(free.read_text()) < 80:
            pytest.skip("this kernel has no 80 huge pages to give")
        yield free
    finally:
        count.write_text(before)


@QEMUS
def test_huge_pages(hypervisor, tmp_path, huge_pages, caplog, qemu):
    """A reboot counts those that the guest gives back; without any it has usual memory."""
    free = int(huge_pages.read_text())
    made, disks = make(tmp_path, "hugepages:2M", kvm_path=str(qemu))
    hypervisor.StartInstance(made, disks, True)

    def has_them() -> bool:
        return int(huge_pages.read_text()) <= free - 64  # 128 MiB

    assert has_them()
    hypervisor.RebootInstance(made)
    assert has_them()
    assert "goes on without" not in caplog.text
    other = instance.instance("tags2.example.com")
    other.tags = ["hv-kvm:hugepages:2M"]
    with pytest.raises(errors.HypervisorError, match="free in huge pages of 2048 KiB, and its mem"):
        hypervisor.StartInstance(other, [], True)
    made.tags = ["hv-kvm:hugepages:1G"]
    hypervisor.RebootInstance(made)
    assert not has_them()
    assert "goes on without an option of its tags: tag hv-kvm:hugepages: " in caplog.text


@QEMUS
def test_numa(hypervisor, tmp_path, qemu):
    made, disks = make(tmp_path, "numa:0", kvm_path=str(qemu))
    hypervisor.StartInstance(made, disks, True)
    (found,) = ask(hypervisor, "query-memdev")
    assert (found["id"], found["host-nodes"], found["policy"]) == ("pc.ram", [0], "bind")
    made.tags = []
    hypervisor.RebootInstance(made)
    (found,) = ask(hypervisor, "query-memdev")
    assert (found["host-nodes"], found["policy"]) == ([], "default")
