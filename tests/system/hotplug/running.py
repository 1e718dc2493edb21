"""A real guest to plug devices into, and everything by which a leftover would show."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganeti_hv_kvm import _native
from harness import guest, instance, leftovers, paths
from harness.console import SerialConsole
from harness.descriptors import open_files

NAME = "web1.example.com"
BOOT_TIMEOUT = 90.0
SEEN_TIMEOUT = 20.0

DISK, NIC = "disk", "nic"

# Each Ganeti with the QEMU of its own Debian: all tests run once on either. What every site does
# is tested on Ganeti 3.1 with the older QEMU, too.
_GENERATION = os.environ.get("GANETI_UNDER_TEST", "3.0")
QEMU = paths.QEMU if _GENERATION == "3.0" else paths.QEMU_10
QEMUS = [QEMU, paths.QEMU] if _GENERATION == "3.1" else [QEMU]


@dataclass
class Running:
    """A guest that was started with one disk and one NIC."""

    hypervisor: Any
    made: Any
    folder: Path
    disks: Sequence[Any]
    console: SerialConsole = field(init=False)

    def start(self, *, paused: bool = False) -> None:
        self.hypervisor.StartInstance(self.made, list(self.disks), paused)
        self.attach(wait=not paused)

    def attach(self, *, wait: bool = True) -> None:
        """Looks at a guest that runs already; returns when Linux does."""
        self.console = SerialConsole(self.hypervisor._InstanceSerial(NAME))
        if wait:
            self.console.wait_for(guest.STATUS_LINE.search, BOOT_TIMEOUT)

    def stop(self) -> None:
        self.console.close()
        self.hypervisor.StopInstance(self.made, force=True)
        self.hypervisor.CleanupInstance(NAME)

    # What Ganeti asks for

    def add_disk(self, index: int = 1, disk: Any = None) -> Any:
        """Adds a disk of 16 MiB and gives it, as (``objects.Disk``, path, None)."""
        disk = disk or instance.disk(self.folder, index)
        self.hypervisor.HotAddDevice(self.made, DISK, disk[0], disk[1:], index)
        return disk

    def remove_disk(self, disk: Any, index: int = 1) -> dict[str, Any]:
        return self.hypervisor.HotDelDevice(self.made, DISK, disk[0], None, index)

    def add_nic(self, index: int = 1, nic: Any = None) -> Any:
        nic = nic or instance.nic(index)
        self.hypervisor.HotAddDevice(self.made, NIC, nic, None, index)
        return nic

    def remove_nic(self, nic: Any, index: int = 1) -> dict[str, Any]:
        return self.hypervisor.HotDelDevice(self.made, NIC, nic, None, index)

    def modify_nic(self, nic: Any, index: int = 1) -> None:
        self.hypervisor.HotModDevice(self.made, NIC, nic, None, index)

    # What can be seen

    def sees(self, wanted: Callable[[str, str], object]) -> None:
        """Returns when the guest says so of its disks and NICs; TimeoutError if it does not."""

        def is_wanted(line: str) -> object:
            found = guest.STATUS_LINE.search(line)
            return found and wanted(found["disks"], found["nics"])

        self.console.wait_for(is_wanted, SEEN_TIMEOUT)

    @property
    def qmp(self) -> Path:
        return Path(self.hypervisor._InstanceQmpMonitor(NAME))

    def ask(self, command: str, **arguments: Any) -> Any:
        """A command for QEMU, by its second monitor."""
        with _native.QmpConnection(self.qmp.with_suffix(".kvmd")) as qmp:
            return qmp.execute_qmp(command, arguments)

    def state(self) -> dict[str, Any]:
        """All that an operation may change, in QEMU and on the node; equal if nothing did."""
        pid = self.hypervisor.GetInstanceInfo(NAME)[1]
        snapshot = leftovers.take(Path(self.hypervisor._ROOT_DIR))
        with _native.QmpConnection(self.qmp.with_suffix(".kvmd")) as qmp:
            inside = _inside(qmp)
        return {
            **inside,
            "open in QEMU": sorted(_open_files(pid)),
            "interfaces": snapshot.interfaces,
            "our open files": snapshot.descriptors,
            "files": snapshot.files,
            "runtime": self.hypervisor._ReadKVMRuntime(NAME),
        }


def _inside(qmp: _native.QmpConnection) -> dict[str, Any]:
    """What QEMU says of its devices and of what stands behind them."""
    nodes = [node["node-name"] for node in qmp.execute_qmp("query-named-block-nodes")]
    network = qmp.execute_qmp("human-monitor-command", {"command-line": "info network"})
    return {
        "devices": sorted(_devices(qmp)),
        "drives": sorted(drive["device"] for drive in qmp.execute_qmp("query-block")),
        "nodes": (len(nodes), sorted(node for node in nodes if not node.startswith("#"))),
        "fdsets": [fdset for fdset in qmp.execute_qmp("query-fdsets") if fdset["fds"]],
        "netdevs": sorted(line.split(",fd=")[0] for line in network.splitlines()),
    }


def _devices(qmp: _native.QmpConnection) -> Iterator[str]:
    """All devices that have an id, NICs with their MAC."""
    for child in qmp.execute_qmp("qom-list", {"path": "/machine/peripheral"}):
        if not child["type"].startswith("child<"):
            continue
        name = child["name"]
        if name.startswith("nic-"):
            where = {"path": f"/machine/peripheral/{name}", "property": "mac"}
            name += f" {qmp.execute_qmp('qom-get', where)}"
        yield name


def _open_files(pid: int) -> list[str]:
    """QEMU's disk images and TAPs: what it holds open, as often as it does."""
    targets = (target for _, target in open_files(pid))
    return [t for t in targets if t.startswith("/") and not t.startswith(("/dev/null", "/memfd"))]
