"""Ganeti's original module at work on the instances of this process's node, as before an upgrade.

    original.py GENERATION ACTION FOLDER

runs in a process of its own, for a process has one Ganeti. `call` starts it.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import ganetis_own, instance, node, paths

DISK, NIC = "disk", "nic"


def call(generation: str, action: str, folder: Path, name: str) -> None:
    """Has the original do one of `ACTIONS`, with disks in ``folder``; RuntimeError if it fails."""
    command = [sys.executable, __file__, generation, action, str(folder), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    if done.returncode:
        raise RuntimeError(f"{generation}'s own module: {done.stdout}{done.stderr}")


def made_in(folder: Path, name: str) -> tuple[Any, list[Any]]:
    """The instance that all of this is about, and its disk."""
    disks = [instance.disk(folder)]
    return instance.instance(name, nics=[instance.nic()], disks=disks), disks


def _start(hypervisor: Any, made: Any, disks: list[Any], _folder: Path) -> None:
    hypervisor.StartInstance(made, disks, False)


def _add(hypervisor: Any, made: Any, _disks: list[Any], folder: Path) -> None:
    disk = instance.disk(folder, 1)
    hypervisor.HotAddDevice(made, DISK, disk[0], disk[1:], 1)
    hypervisor.HotAddDevice(made, NIC, instance.nic(1), None, 1)


def _remove(hypervisor: Any, made: Any, _disks: list[Any], folder: Path) -> None:
    hypervisor.HotDelDevice(made, NIC, instance.nic(1), None, 1)
    hypervisor.HotDelDevice(made, DISK, instance.disk(folder, 1)[0], None, 1)


ACTIONS: dict[str, Callable[[Any, Any, list[Any], Path], None]] = {
    "start": _start,
    "add": _add,
    "remove": _remove,
}


def main(generation: str, action: str, folder: str, name: str) -> None:
    sys.path.insert(0, str(paths.GANETI_CODE[generation]))
    ganetis_own.be_not_enabled()
    importlib.import_module(ganetis_own.NAME)
    ganetis_own.prove(paths.GANETI_CODE[generation])
    hypervisor = importlib.import_module("ganeti.hypervisor").GetHypervisor("kvm")
    made, disks = made_in(Path(folder), name)
    ACTIONS[action](hypervisor, made, disks, Path(folder))


if __name__ == "__main__":
    node.require_sandbox()
    main(*sys.argv[1:])
