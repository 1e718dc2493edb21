"""Guests of what is coming: with IOThreads, with UEFI, with a parameter that nobody knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import firmware_disk, migrants

from .cluster import SHARED_STORAGE
from .instance import Instance
from .node import Node

BOOT = 400.0  # seconds; emulated firmware, and then a kernel, on a busy machine
MOON = "name=opt/org.ganeti/moon,string=full"
_EFIVARS = "/sys/firmware/efi/efivars"
_VARIABLE = f"{_EFIVARS}/Ganeti-12345678-1234-1234-1234-123456789abc"
_HAS_VARIABLES = (
    "grep -q efivarfs /proc/mounts ||"
    f" {{ insmod /modules/efivarfs; mount -t efivarfs none {_EFIVARS}; }}"
)
KNOWS_NOT = "what this version of ganeti-hv-kvm does not know (moon_phase=full)"


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
    assert "-fw_cfg" not in command_line(guest, node)


def _has_firmware(guest: Instance, node: Node) -> None:
    blocks = guest.qemu(node, "query-block")
    names = {one["inserted"]["node-name"] for one in blocks if "inserted" in one}
    assert {"ovmf-code", "ovmf-vars"} <= names
    with guest.console(node) as console:
        console.send(_HAS_VARIABLES)
        console.send(f"echo it' 'is: $(tail -c +5 {_VARIABLE})")
        console.wait_for(lambda line: "it is: kept" in line, BOOT)


def keep_a_variable(guest: Instance) -> None:
    """The guest's kernel has the firmware write one."""
    with guest.console() as console:
        console.send(_HAS_VARIABLES)
        # what is typed comes back as an echo
        console.send(f"printf '\\007\\000\\000\\000kept' >{_VARIABLE} && echo wrote' 'it")
        console.wait_for(lambda line: "wrote it" in line, BOOT)


def has_moon(guest: Instance, node: Node) -> None:
    command = command_line(guest, node)
    assert command[command.index("-fw_cfg") + 1] == MOON, "who built this guest?"
    path = f"/run/ganeti/kvm-hypervisor/conf/{guest.name}.runtime"
    assert json.loads(node.path(path).read_text())[2]["moon_phase"] == "full"
    assert f"{guest.name} uses {KNOWS_NOT}" in node.log()


def command_line(guest: Instance, node: Node) -> list[str]:
    pid = node.qemu(guest.name)
    assert pid
    return node.command_line(pid)


THREADS = Kind(
    "i1.example.com",
    "virtio_disk_iothreads=2,disk_aio=native,disk_cache=none",
    _has_threads,
    backend="minmem=128,maxmem=160,vcpus=2",
)
UEFI = Kind(
    "i2.example.com",
    "boot_type=uefi",
    _has_firmware,
    backend="minmem=256,maxmem=256,vcpus=1",
    # Ganeti's daemons of today keep no role: the fixture tells it by the name.
    disks=("--disk=0:size=1G", "--disk=1:size=1G,name=firmware"),
)
UNKNOWN = Kind("i3.example.com", "moon_phase=full", has_moon)


def add(guest: Instance, kind: Kind, node: Node) -> None:
    """Create such a guest, which does not run yet."""
    guest.gnt(
        "add",
        "--disk-template=sharedfile",
        "--os-type=noop",
        *kind.disks,
        f"--node={node.name}",
        f"--backend-parameters={kind.backend}",
        f"--hypervisor-parameters=kvm:{kind.parameters}",
        "--no-wait-for-sync",
        "--no-start",
    )
    if kind is UEFI:
        _boot_without_kernel(guest, node)


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
    assert not {"-kernel", "-initrd"} & set(command_line(guest, node))
    migrants.wait_until(
        lambda: firmware_disk.region(image, "vars") != fresh, BOOT, "a variable of OVMF"
    )
    guest.gnt("shutdown", "--timeout=0", "--force")
    guest.modify("-H", "boot_type=direct_kernel_efi")
