"""What is done to a guest, from which state on, and what may become of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import tiny_guest

from . import truth
from .tracee import InjectedNode

NAME = "web1.example.com"
_MEMORY = 64
_ADDRESS = "127.0.0.1"


class Bench:
    """Two nodes, the guest's disks, and the states from which operations begin."""

    def __init__(self, generation: str, folder: Path) -> None:
        self.nodes = {
            label: InjectedNode(generation, folder / label) for label in ("here", "there")
        }
        self.disks = [folder / "disk0.img", folder / "disk1.img"]
        self.info = ""
        #: A monitor of the test's own, where one is wanted.
        self.witness = folder / "witness"
        self._watched = False

    @property
    def here(self) -> InjectedNode:
        return self.nodes["here"]

    @property
    def there(self) -> InjectedNode:
        return self.nodes["there"]

    @property
    def guest(self) -> dict[str, Any]:
        return {
            "name": NAME,
            "nics": 1,
            "disks": [str(self.disks[0])],
            "memory": _MEMORY,
            "kernel_path": "",
            "kvm_extra": f"-qmp unix:{self.witness},server=on,wait=off" if self._watched else "",
        }

    def close(self) -> None:
        truth.kill_all()
        for node in self.nodes.values():
            node.close()

    # States

    def empty(self) -> None:
        """No guest, no file of one; what QEMU says of itself is not known."""
        truth.kill_all()
        self._watched = False
        for node in self.nodes.values():
            for folder in node.run_folder.glob("*"):
                for path in folder.glob("*"):
                    if path.is_dir() and not path.is_symlink():
                        shutil.rmtree(path)
                    else:
                        path.unlink()
            shutil.rmtree(node.run_folder.parent / "ganeti-hv-kvm", ignore_errors=True)
            # where it keeps what outlives a guest's files: of a migration's end nobody has heard
            shutil.rmtree(node.root / "var/lib/ganeti/kvm-departed", ignore_errors=True)
        for disk in self.disks:
            tiny_guest.write_disk(disk)

    def paused(self) -> None:
        """A guest that was started paused."""
        self.empty()
        self.here.call("StartInstance", self.guest, True)

    def running(self, *, watched: bool = False) -> None:
        """A guest that shuts down when it is asked to."""
        self.empty()
        self._watched = watched
        self.here.call("StartInstance", self.guest)
        truth.wait_ready(self.here, NAME)

    def watched(self) -> None:
        """The same, with a monitor more."""
        self.running(watched=True)

    def dead(self) -> None:
        """A guest whose QEMU was killed; its files are there."""
        self.paused()
        truth.kill_all()

    def with_second_nic(self) -> None:
        self.running()
        self.here.call("AddNic", self.guest, 1)

    def with_second_disk(self) -> None:
        self.running()
        self.here.call("AddDisk", self.guest, str(self.disks[1]), 1)

    def _information(self) -> None:
        told: str = self.here.call("MigrationInfo", self.guest)
        self.info = told.replace(str(self.here.root), str(self.there.root))

    def to_be_accepted(self) -> None:
        self.running()
        self._information()

    def accepted(self) -> None:
        self.to_be_accepted()
        self.there.call("AcceptInstance", self.guest, self.info, _ADDRESS)

    def migrated(self) -> None:
        self.accepted()
        self.here.call("MigrateInstance", self.guest, _ADDRESS, True)
        status = lambda: self.here.call("GetMigrationStatus", self.guest)["status"]  # noqa: E731
        if not truth.wait(lambda: status() == "completed"):
            raise RuntimeError("the migration does not end")
        truth.wait_arrived(self.there, NAME)

    def settled_at_source(self) -> None:
        self.migrated()
        self.here.call("FinalizeMigrationSource", self.guest, True, True)


@dataclass(frozen=True)
class Operation:
    """One of Ganeti's requests.

    Attributes:
        begin: makes the state before it.
        method, arguments: what is asked for; of which node.
        revert: makes the state before it out of that after it, where that is quicker.
        reads: it gives the same each time, and changes nothing.
        refused: it is to fail, and to change nothing.
        asks: the guest is to be asked before it is ended.
        slow: something goes on when the request has returned.
    """

    begin: Callable[[Bench], None]
    method: str
    arguments: Callable[[Bench], list[Any]]
    node: str = "here"
    revert: Callable[[Bench], object] | None = None
    reads: bool = False
    refused: bool = False
    asks: bool = False
    slow: bool = False


def _guest(*more: Any) -> Callable[[Bench], list[Any]]:
    return lambda bench: [bench.guest, *more]


def _second_disk(*more: Any) -> Callable[[Bench], list[Any]]:
    return lambda bench: [bench.guest, str(bench.disks[1]), *more]


def _informed(*more: Any) -> Callable[[Bench], list[Any]]:
    return lambda bench: [bench.guest, bench.info, *more]


def _nothing(_: Bench) -> list[Any]:
    return []


OPERATIONS: dict[str, Operation] = {
    "start": Operation(Bench.empty, "StartInstance", _guest()),
    "start, though it runs": Operation(Bench.paused, "StartInstance", _guest(), refused=True),
    "stop by force": Operation(Bench.paused, "StopInstance", _guest()),
    "ask to stop": Operation(Bench.watched, "AskToStop", _guest(), asks=True, slow=True),
    "clean up": Operation(Bench.dead, "CleanupInstance", _guest()),
    "clean up, though it runs": Operation(Bench.paused, "CleanupInstance", _guest(), refused=True),
    "list": Operation(Bench.paused, "ListInstances", _nothing, reads=True),
    "list with details": Operation(Bench.paused, "GetAllInstancesInfo", _nothing, reads=True),
    "tell of one": Operation(Bench.paused, "GetInstanceInfo", _guest(), reads=True),
    "add a disk": Operation(
        Bench.running,
        "AddDisk",
        _second_disk(1),
        revert=lambda bench: bench.here.call("RemoveDisk", *_second_disk(1)(bench)),
    ),
    "remove a disk": Operation(
        Bench.with_second_disk,
        "RemoveDisk",
        _second_disk(1),
        revert=lambda bench: bench.here.call("AddDisk", *_second_disk(1)(bench)),
    ),
    "resize a disk": Operation(
        Bench.with_second_disk,
        "ResizeDisk",
        _second_disk(2 << 20),
        revert=lambda bench: bench.here.call("ResizeDisk", *_second_disk(1 << 20)(bench)),
    ),
    "add a NIC": Operation(
        Bench.running,
        "AddNic",
        _guest(1),
        revert=lambda bench: bench.here.call("RemoveNic", bench.guest, 1),
    ),
    "remove a NIC": Operation(
        Bench.with_second_nic,
        "RemoveNic",
        _guest(1),
        revert=lambda bench: bench.here.call("AddNic", bench.guest, 1),
    ),
    "change a NIC": Operation(
        Bench.with_second_nic,
        "ChangeNic",
        _guest(1, "aa:00:00:99:99:99"),
        revert=lambda bench: bench.here.call("ChangeNic", bench.guest, 1, "aa:00:00:12:34:01"),
    ),
    "reboot": Operation(Bench.watched, "RebootInstance", _guest(), asks=True),
    "tell for a migration": Operation(Bench.running, "MigrationInfo", _guest(), reads=True),
    "accept": Operation(Bench.to_be_accepted, "AcceptInstance", _informed(_ADDRESS), node="there"),
    "migrate": Operation(Bench.accepted, "MigrateInstance", _guest(_ADDRESS, True), slow=True),
    "tell how a migration goes": Operation(
        Bench.migrated, "GetMigrationStatus", _guest(), reads=True
    ),
    "finish at the source": Operation(
        Bench.migrated, "FinalizeMigrationSource", _guest(True, True)
    ),
    "finish at the target": Operation(
        Bench.settled_at_source, "FinalizeMigrationDst", _informed(True), node="there"
    ),
    "abort at the source": Operation(
        Bench.accepted, "FinalizeMigrationSource", _guest(False, True)
    ),
    "abort at the target": Operation(
        Bench.accepted, "FinalizeMigrationDst", _informed(False), node="there"
    ),
}
