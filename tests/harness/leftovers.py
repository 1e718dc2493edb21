"""What a stopped or failed start must not leave: processes, TAPs, open files, files.

Take a snapshot before and one after; the difference is a readable list, empty when all is clean.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.descriptors import open_files


@dataclass(frozen=True)
class Snapshot:
    """What there is at one moment; each member a set of readable names."""

    processes: frozenset[str]
    interfaces: frozenset[str]
    descriptors: frozenset[str]
    files: frozenset[str]

    def added_since(self, before: Snapshot) -> list[str]:
        """What is here now and was not in ``before``, as "kind: name"."""
        pairs = (
            ("process", self.processes - before.processes),
            ("interface", self.interfaces - before.interfaces),
            ("open file", self.descriptors - before.descriptors),
            ("file", self.files - before.files),
        )
        return [f"{kind}: {name}" for kind, names in pairs for name in sorted(names)]


def take(run_folder: Path) -> Snapshot:
    """The state of this sandbox and process, and of the files below ``run_folder``."""
    return Snapshot(
        processes=frozenset(_qemu_processes()),
        interfaces=frozenset(os.listdir("/sys/class/net")),
        descriptors=frozenset(f"{fd} -> {target}" for fd, target in open_files()),
        files=frozenset(_files(run_folder)),
    )


def _qemu_processes() -> Iterator[str]:
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            program = os.readlink(f"/proc/{entry}/exe")
        except OSError:  # ended meanwhile, or a kernel thread
            continue
        if Path(program).name.startswith("qemu"):
            yield f"{Path(program).name} {entry}"


def _files(folder: Path) -> Iterator[str]:
    """Files, sockets, and the per-instance folders; not the fixed folders of the module itself."""
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        if not path.is_dir() or len(relative.parts) > 1:
            yield str(relative)
