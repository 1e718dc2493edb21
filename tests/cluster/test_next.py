"""Tomorrow's Ganeti: guests with IOThreads, with UEFI, with a parameter that nobody knows, live.

`make test-cluster-next`: the row is Ganeti 3.1 with the parameters that are known to be coming, and
one more (tests/harness/upstream.py), on two nodes with QEMU 10.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.harness.cluster import SHARED_STORAGE, Cluster
from cluster.harness.instance import Instance
from cluster.harness.node import Node
from harness import firmware_disk, migrants

from .conftest import put_right

pytestmark = pytest.mark.timeout(900)
_BOOT = 400.0  # seconds; emulated firmware, and then a kernel, on a busy machine
_MOON = "name=opt/org.ganeti/moon,string=full"
_EFIVARS = "/sys/firmware/efi/efivars"
_VARIABLE = f"{_EFIVARS}/Ganeti-12345678-1234-1234-1234-123456789abc"
_HAS_VARIABLES = (
    "grep -q efivarfs /proc/mounts ||"
    f" {{ insmod /modules/efivarfs; mount -t efivarfs none {_EFIVARS}; }}"
)
_KNOWS_NOT = "what this version of ganeti-hv-kvm does not know (moon_phase=full)"


@dataclass(frozen=True)
class Kind:
    """What is special about a guest."""

    name: str
    parameters: str
    check: Callable[[Instance, Node], None]
    """Asks QEMU, the guest and the node whether it is there."""
    backend: str = "minmem=128,maxmem=160,vcpus=1"
    disks: tuple[str, ...] = ("--disk=0:size=1G",)


def _peripherals(guest: Instance, node: Node) -> list[str]:
    found = guest.qemu(node, "qom-list", path="/machine/peripheral")
    return [f"/machine/peripheral/{one['name']}" for one in found if "disk-" in one["name"]]


def _has_threads(guest: Instance, node: Node) -> None:
    threads = [one["id"] for one in guest.qemu(node, "query-iothreads")]
    assert sorted(threads) == ["iothread0", "iothread1"]
    disks = _peripherals(guest, node)
    assert disks
    for disk in disks:
        queues = guest.qemu(node, "qom-get", path=disk, property="iothread-vq-mapping")
        assert [one["iothread"] for one in queues] == ["iothread0", "iothread1"], disk
    assert "-fw_cfg" not in _command_line(guest, node)


def _has_firmware(guest: Instance, node: Node) -> None:
    blocks = guest.qemu(node, "query-block")
    names = {one["inserted"]["node-name"] for one in blocks if "inserted" in one}
    assert {"ovmf-code", "ovmf-vars"} <= names
    with guest.console(node) as console:
        console.send(_HAS_VARIABLES)
        console.send(f"echo it' 'is: $(tail -c +5 {_VARIABLE})")
        console.wait_for(lambda line: "it is: kept" in line, _BOOT)


def _keep_a_variable(guest: Instance) -> None:
    """The guest's kernel has the firmware write one."""
    with guest.console() as console:
        console.send(_HAS_VARIABLES)
        # what is typed comes back as an echo
        console.send(f"printf '\\007\\000\\000\\000kept' >{_VARIABLE} && echo wrote' 'it")
        console.wait_for(lambda line: "wrote it" in line, _BOOT)


def _has_moon(guest: Instance, node: Node) -> None:
    command = _command_line(guest, node)
    assert command[command.index("-fw_cfg") + 1] == _MOON, "who built this guest?"
    path = f"/run/ganeti/kvm-hypervisor/conf/{guest.name}.runtime"
    assert json.loads(node.path(path).read_text())[2]["moon_phase"] == "full"
    assert f"{guest.name} uses {_KNOWS_NOT}" in node.log()


def _command_line(guest: Instance, node: Node) -> list[str]:
    pid = node.qemu(guest.name)
    assert pid
    return node.command_line(pid)


_THREADS = Kind(
    "i1.example.com",
    "virtio_disk_iothreads=2,disk_aio=native,disk_cache=none",
    _has_threads,
    backend="minmem=128,maxmem=160,vcpus=2",
)
_UEFI = Kind(
    "i2.example.com",
    "boot_type=uefi",
    _has_firmware,
    backend="minmem=256,maxmem=256,vcpus=1",
    # Ganeti's daemons of today keep no role: the fixture tells it by the name.
    disks=("--disk=0:size=1G", "--disk=1:size=1G,name=firmware"),
)
_UNKNOWN = Kind("i3.example.com", "moon_phase=full", _has_moon)


@pytest.fixture(scope="module", params=[_THREADS, _UEFI, _UNKNOWN], ids=["threads", "uefi", "moon"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def live(cluster: Cluster, kind: Kind) -> Any:
    """The guest of the steps; each of them needs the one before."""
    guest = Instance(cluster, kind.name)
    yield guest
    put_right(cluster)
    if guest.state():
        guest.gnt("remove", "--force", "--ignore-failures", "--shutdown-timeout=0")


def _seed_firmware(guest: Instance) -> Path:
    """As Ganeti will do it for a new instance; the path of the disk."""
    (image,) = guest.cluster.master.path(f"{SHARED_STORAGE}/{guest.name}").glob("*disk1")
    with image.open("r+b") as file:
        file.write(firmware_disk.seeded())
    return image


def _boot_without_kernel(guest: Instance, node: Node) -> None:
    """OVMF alone: it runs, as it writes its variables. Then it starts the kernel of the others."""
    image = _seed_firmware(guest)
    fresh = firmware_disk.region(image, "vars")
    guest.gnt("start")
    assert not {"-kernel", "-initrd"} & set(_command_line(guest, node))
    migrants.wait_until(
        lambda: firmware_disk.region(image, "vars") != fresh, _BOOT, "a variable of OVMF"
    )
    guest.gnt("shutdown", "--timeout=0", "--force")
    guest.modify("-H", "boot_type=direct_kernel_efi")


def test_verify_says_what_is_not_known(cluster: Cluster) -> None:
    """cluster verify says on each node what is left to Ganeti's own module, and nothing else."""
    found = cluster.verify()
    assert len(found) == len(cluster.nodes), found
    for node, line in zip(cluster.nodes, sorted(found), strict=True):
        assert f"ERROR: node {node.name}: " in line
        assert "ganeti-hv-kvm does not know moon_phase: guests that use it are started" in line


def test_add(live: Instance, kind: Kind, n1: Node) -> None:
    """instance add, start; the guest boots."""
    live.gnt(
        "add",
        "--disk-template=sharedfile",
        "--os-type=noop",
        *kind.disks,
        f"--node={n1.name}",
        f"--backend-parameters={kind.backend}",
        f"--hypervisor-parameters=kvm:{kind.parameters}",
        "--no-wait-for-sync",
        "--no-start",
    )
    if kind is _UEFI:
        _boot_without_kernel(live, n1)
    live.gnt("start")
    assert live.sees(timeout=_BOOT).disks == {"vda": 1024}
    if kind is _UEFI:
        _keep_a_variable(live)
    kind.check(live, n1)


def test_hot_plug(live: Instance, kind: Kind, n1: Node) -> None:
    """hot-add a disk, and take it away."""
    said = live.hot_modify("--disk=add:size=1G")
    assert "Could not hotplug" not in said
    live.sees(lambda seen: len(seen.disks) == 2, _BOOT)
    kind.check(live, n1)
    said = live.hot_modify(f"--disk={len(kind.disks)}:remove")
    assert "Could not hotplug" not in said
    assert live.sees(lambda seen: len(seen.disks) == 1, _BOOT).disks == {"vda": 1024}


def test_migrate(live: Instance, kind: Kind, n1: Node, n2: Node) -> None:
    """live migration there and back."""
    for source, target in ((n1, n2), (n2, n1)):
        before = live.sees().seconds
        live.migrate(target)
        assert live.sees(node=target).seconds >= before, "it booted afresh"
        assert live.qemus() == [target.short_name]
        assert source.taps() == []
        source.expect_no_traces(live.name)
        kind.check(live, target)
    assert live.field("status,pnode").split() == ["running", n1.name]


def test_reboot(live: Instance, kind: Kind, n1: Node) -> None:
    """soft reboot: another QEMU of the same make."""
    old = live.pid
    live.gnt("reboot", "--type=soft", "--shutdown-timeout=60")
    assert live.sees(timeout=_BOOT).disks == {"vda": 1024}
    assert live.pid != old
    kind.check(live, n1)


def test_remove(live: Instance, n1: Node, n2: Node) -> None:
    """instance remove: nothing is left."""
    live.remove()
    assert live.state() is None
    for node in (n1, n2):
        assert node.taps() == []
        node.expect_no_traces(live.name)
    assert not n1.path(f"{SHARED_STORAGE}/{live.name}").exists()
