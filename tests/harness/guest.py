"""The test guest: Debian's cloud kernel, and a root file system in memory made of busybox alone.

It boots in a few seconds under software emulation, prints a line a second on its serial console
(``guest: up 3s, cpus 1, memory 107MiB, disks vda:16MiB, nics eth0:aa:00:00:12:34:56.``) and obeys
the ACPI power button, and commands that are typed on its console.
"""

from __future__ import annotations

import hashlib
import lzma
import re
import uuid
from collections.abc import Iterable
from pathlib import Path

from . import cpio, paths

_MODULES = (
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "virtio_scsi",
    "sd_mod",
    "ata_piix",
    "virtio_balloon",
    "virtio_mem",
    "button",
    "evdev",
    "pvpanic_pci",
)
#: Loaded by a test that asks for it.
_ON_REQUEST = ("efivarfs",)
#: Emulated on a busy machine, a guest's timer may miss the kernel's check at boot, which then gives
#: up: "IO-APIC + timer doesn't work!" (seen while three stages ran at once).
KERNEL_ARGS = "ro quiet no_timer_check"
#: By the kernel, which has sent a line when it says that it was written: one that the shell wrote
#: was lost on a busy machine, as `poweroff -f` does not wait for it.
_ON_POWER_BUTTON = """#!/bin/sh
echo '<0>guest: power button' >/dev/kmsg
exec poweroff -f
"""
POWER_BUTTON = re.compile(r"guest: power button")
STATUS_LINE = re.compile(
    r"guest: up (?P<seconds>\d+)s, cpus (?P<cpus>\d+), memory (?P<memory>\d+)MiB,"
    r" disks(?P<disks>[^,]*), nics(?P<nics>[^.]*)\."
)


def kernel() -> Path:
    """The kernel image; the set-up unpacks exactly one."""
    (image,) = (paths.GUEST_PARTS / "boot").glob("vmlinuz-*")
    return image


def initramfs(more: Iterable[cpio.Entry] = ()) -> Path:
    """The root file system's archive with ``more``, written anew when its contents would change."""
    # Linux unpacks one archive after the other
    data = cpio.archive(_contents()) + (cpio.archive(found) if (found := list(more)) else b"")
    target = paths.WORK / f"initramfs-{hashlib.sha256(data).hexdigest()[:16]}.cpio"
    if not target.exists():
        # Not by process id: each sandbox counts them from 1.
        part = target.with_suffix(f".{uuid.uuid4().hex}")
        part.write_bytes(data)
        part.rename(target)
    return target


def _contents() -> list[cpio.Entry]:
    script = Path(__file__).with_name("guest_init.sh").read_bytes()
    names = ("bin", "dev", "proc", "sys", "etc", "etc/acpi", "etc/acpi/PWRF", "modules")
    entries = [cpio.folder(name) for name in names]
    entries += [
        cpio.character_device("dev/console", 5, 1),
        cpio.executable("init", script),
        cpio.executable("bin/busybox", (paths.GUEST_PARTS / "bin/busybox").read_bytes()),
        cpio.link("bin/sh", "busybox"),
        cpio.executable("etc/acpi/PWRF/00000080", _ON_POWER_BUTTON.encode()),
    ]
    modules = _modules_in_order(_MODULES)
    both = modules | _modules_in_order(_ON_REQUEST)
    entries += [cpio.plain_file(f"modules/{name}", data) for name, data in both.items()]
    order = "".join(f"{name}\n" for name in modules)
    entries.append(cpio.plain_file("modules/order", order.encode()))
    return entries


def modules(*wanted: str) -> list[cpio.Entry]:
    """Modules of the kernel that are not loaded by themselves, and what they need."""
    files = _modules_in_order(wanted)
    return [cpio.plain_file(f"modules/{name}", data) for name, data in files.items()]


def _modules_in_order(wanted: Iterable[str]) -> dict[str, bytes]:
    """These modules and all that they need, each after what it needs."""
    files = {
        path.name.split(".ko")[0].replace("-", "_"): path
        for path in (paths.GUEST_PARTS / "lib/modules").rglob("*.ko*")
    }
    ordered: dict[str, bytes] = {}

    def add(name: str) -> None:
        if name in ordered or name not in files:  # what has no file is built into the kernel
            return
        data = files[name].read_bytes()
        if files[name].suffix == ".xz":
            data = lzma.decompress(data)
        for needed in _needs(data):
            add(needed)
        ordered[name] = data

    for module in wanted:
        add(module)
    return ordered


def _needs(module: bytes) -> list[str]:
    found = re.search(rb"\0depends=([^\0]*)\0", module)
    names = found.group(1).decode() if found else ""
    return [name.replace("-", "_") for name in names.split(",") if name]
