"""One guest's way from Debian 12 to 13, and back: what it sees of its disks at each step."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from harness import console, disk_counts, guest, migrants, node, paths, two_nodes
from matrix.pairwise import Row

from . import cover

_BOOT, _STEP = 120.0, 60.0


class Node(two_nodes.RemoteNode):
    """A node, and the QEMU that lies at the same path on each real one."""

    def __init__(self, generation: str, module: str, qemu: Path, root: Path | None = None) -> None:
        super().__init__(generation, module, root=root, GANETI_HV_KVM_REBOOT_TIMEOUT="30")
        self.qemu_path = qemu


class Move(two_nodes.Pair):
    """From one node to another, whose QEMU is of another version."""

    def migrate(self, wanted: two_nodes.Wanted, *, live: bool = True) -> list[dict[str, Any]]:
        """As Ganeti's master does it; what QEMU wrote on the target is part of an error."""
        try:
            return super().migrate(wanted, live=live)
        except (RuntimeError, two_nodes.RemoteError) as error:
            raise RuntimeError(f"{error}\n{_qemus_words(self, wanted['name'])}") from error

    def information(self, wanted: two_nodes.Wanted) -> str:
        told = super().information(wanted)
        assert isinstance(self.source, Node)
        assert isinstance(self.target, Node)
        return told.replace(f'"{self.source.qemu_path}"', f'"{self.target.qemu_path}"')


def _qemus_words(pair: two_nodes.Pair, name: str) -> str:
    found = []
    for remote in (pair.source, pair.target):
        log = remote.root / "var/log/ganeti/kvm" / f"{name}.log"
        found.append(log.read_text(errors="replace")[-2000:] if log.exists() else "")
        with contextlib.suppress(OSError):
            found.append(str(remote.qemu(name, "query-migrate")))
    return "\n".join(found)


class Walk:
    """A guest, and what it should find on its disks."""

    def __init__(self, row: Row, name: str, folder: Path) -> None:
        self.row = row
        self.folder = folder
        self.disks = int(cover.value(row, "disks"))
        self.counts: dict[str, int] = {}
        self._wanted = self._wish(name)
        for number in range(self.disks):
            self.make_disk(number)

    def _wish(self, name: str) -> dict[str, Any]:
        cd, floppy = self.folder / "cd.iso", self.folder / "floppy.img"
        cd.write_bytes(b"disc".ljust(1 << 20, b"\0"))
        floppy.write_bytes(bytes(1440 << 10))
        images = ("cdrom_image_path", "cdrom2_image_path")[: cover.value(self.row, "cdroms")]
        plain = (
            *("disk_type", "nic_type", "machine_version", "disk_cache", "disk_aio", "acpi"),
            *(
                "vga",
                "disk_discard",
                "use_chroot",
                "use_guest_agent",
                "usb_mouse",
                "soundhw",
                "kvm_extra",
            ),
        )
        return {
            "name": name,
            "memory": 160,
            "minimum_memory": 128,
            "nics": 1,
            "disk_folder": str(self.folder),
            "disk_count": self.disks,
            "scsi_controller_type": "virtio-scsi-pci",
            "cdrom_disk_type": "ide" if images else "",
            "floppy_image_path": str(floppy) if cover.value(self.row, "floppy") else "",
            **dict.fromkeys(images, str(cd)),
            **{parameter: cover.value(self.row, parameter) for parameter in plain},
            "vnc_bind_address": str(self.folder) if cover.value(self.row, "display") else "",
            **cover.value(self.row, "security"),
            **migrants.ONE_PASS,
        }

    def wanted(self, on: Node) -> two_nodes.Wanted:
        """The instance as that node's Ganeti is told of it."""
        known = dict(self._wanted, kvm_path=str(on.qemu_path), disk_count=self.disks)
        if on.generation != "3.0" and known["disk_discard"] == "default":
            known["disk_discard"] = "ignore"  # as cfgupgrade writes it
        return known

    def make_disk(self, number: int) -> None:
        """A disk with its name in it, which any user may open."""
        image = self.folder / f"disk{number}.img"
        image.write_bytes(disk_counts.content(f"disk-{number}", 1) + bytes(16 << 20))
        image.chmod(0o666)
        self.counts[f"disk-{number}"] = 1

    @contextlib.contextmanager
    def console(self, on: Node) -> Iterator[console.SerialConsole]:
        with migrants.serial(on, self.wanted(on)) as opened:
            yield opened

    def wait_for_boot(self, on: Node) -> None:
        with self.console(on) as opened:
            opened.wait_for(guest.STATUS_LINE.search, _BOOT)

    def counts_on(self, on: Node) -> None:
        """The guest finds each disk as it left it; it has no other."""
        with self.console(on) as opened:
            assert disk_counts.count_on(opened) == self.counts, self.row
        self.counts = {name: count + 1 for name, count in self.counts.items()}

    def sees_one_more(self, on: Node, *, there: bool) -> None:
        """Returns when the guest has noticed that a disk came, or went."""
        total = self.disks + (1 if there else 0)
        with self.console(on) as opened:
            opened.wait_for(
                lambda line: (
                    (found := guest.STATUS_LINE.search(line)) is not None
                    and len(found["disks"].split()) == total
                ),
                _STEP,
            )

    def places(self, on: Node) -> list[tuple[str, str]]:
        """Where QEMU has the guest's devices on its first PCI bus."""
        (bus, *_) = on.qemu(self._wanted["name"], "query-pci")
        return sorted((device["qdev_id"] or "", hex(device["slot"])) for device in bus["devices"])

    def on_the_host(self) -> dict[str, int]:
        """What the images hold now."""
        images = self.folder.glob("disk*.img")
        return dict(disk_counts.read(image.read_bytes()) for image in images)


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """One that guests of any user may enter; pytest's own may not be."""
    path = Path(tempfile.mkdtemp(prefix="up-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


class Nodes(NamedTuple):
    """Debian 12; Debian 13; Debian 12 with the Ganeti of 13, where a guest may go back to.

    ``first`` is the first one before ours was enabled there, where that is later.
    """

    first: Node
    old: Node
    new: Node
    between: Node


def make_nodes(stack: contextlib.ExitStack, born: str) -> Nodes:
    """The nodes of a walk; guests are started by the module ``born``."""
    first = old = stack.enter_context(Node("3.0", born, paths.QEMU))
    if born != node.OURS:
        old = stack.enter_context(Node("3.0", node.OURS, paths.QEMU, first.root))
    new = stack.enter_context(Node("3.1", node.OURS, paths.QEMU_10))
    between = stack.enter_context(Node("3.1", node.OURS, paths.QEMU))
    return Nodes(first, old, new, between)
