"""A Ganeti node of its own: a root folder, a bridge, and one of the two hypervisor modules.

Nothing here touches a cluster that the machine may belong to: Ganeti's own support for virtual
clusters (GANETI_ROOTDIR, GANETI_HOSTNAME) moves every path below a temporary folder, and the
`sandbox` command gives a private network. A process is a node of one generation with one module:
both are chosen before Ganeti is imported, once.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import ganetis_own, upstream

HOST_NAME = "node"
BRIDGE = "br0"
ORIGINAL = "original"
OURS = "ours"


def in_sandbox() -> bool:
    """Whether this process was started by the `sandbox` command."""
    return os.environ.get("GANETI_KVM_SANDBOX") == "1"


def require_sandbox() -> None:
    """Raises RuntimeError where TAPs and bridges would be the machine's own."""
    if not in_sandbox():
        raise RuntimeError("run this under tests/harness/sandbox: it makes TAPs, bridges, guests")


@dataclass(frozen=True)
class Node:
    """One node's root folder and what was imported for it."""

    root: Path
    generation: str
    module: str
    origin: Path

    @property
    def run_folder(self) -> Path:
        """Where Ganeti's KVM module keeps its files (pid, ctrl, conf, nic, ...)."""
        return self.root / "var/run/ganeti/kvm-hypervisor"

    def socket(self, instance: str, kind: str) -> Path:
        """An instance's socket; ``kind`` is monitor, serial, qmp, kvmd or qga."""
        return self.run_folder / "ctrl" / f"{instance}.{kind}"

    def qemu_log(self, instance: str) -> str:
        log = self.root / "var/log/ganeti/kvm" / f"{instance}.log"
        return log.read_text() if log.exists() else ""

    def hypervisor(self) -> Any:
        """A new hypervisor object, made as Ganeti's daemons make theirs."""
        return importlib.import_module("ganeti.hypervisor").GetHypervisor("kvm")

    def remove(self) -> None:
        """Removes the root folder; whatever still runs is the caller's to stop first."""
        shutil.rmtree(self.root.parent, ignore_errors=True)


def make_node(generation: str, module: str, root: Path | None = None) -> Node:
    """Makes this process a Ganeti node of ``generation`` ("3.0", "3.1", "dev") with ``module``.

    ``root`` is the root folder of a node that another process has made, to be shared with it.
    Raises RuntimeError if Ganeti was imported already, or if not the wanted module answers.
    """
    ganetis_own.be_not_enabled()
    if module == OURS:
        importlib.import_module("ganeti_hv_kvm.activation").install()
    return find_node(generation, module, root)


def find_node(generation: str, module: str, root: Path | None = None) -> Node:
    """As `make_node`, where this interpreter already is as it should be (enabled, or not)."""
    if "ganeti" in sys.modules:
        raise RuntimeError("a node is made before Ganeti is imported")
    root = root or new_root()
    for folder in ("var/run/ganeti", "var/lib/ganeti", "var/log/ganeti/kvm", "etc/ganeti"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    os.environ.update(GANETI_ROOTDIR=str(root), GANETI_HOSTNAME=HOST_NAME)
    code = upstream.code(generation, root.parent)
    sys.path.insert(0, str(code))
    origin = Path(str(importlib.import_module("ganeti.hypervisor.hv_kvm").__file__))
    if ("ganeti_hv_kvm" in origin.parts) != (module == OURS):
        shutil.rmtree(root.parent)
        raise RuntimeError(f"wanted the module {module}, Ganeti found {origin}{_reason()}")
    if module == ORIGINAL:
        ganetis_own.prove(code)
    return Node(root, generation, module, origin)


def _reason() -> str:
    """Why ours stood aside, as far as it says so."""
    activation = sys.modules.get("ganeti_hv_kvm.activation")
    finder = activation.installed() if activation else None
    return f": {finder.failure}" if finder else ""


def new_root() -> Path:
    """Makes a root folder for a node, which goes with the sandbox at the latest."""
    # Short: a Unix socket's path has at most 107 bytes.
    parent = os.environ.get("GANETI_KVM_ROOTS", "/tmp")
    return Path(tempfile.mkdtemp(prefix="n", dir=parent)) / HOST_NAME


def make_bridge(name: str = BRIDGE) -> None:
    """Makes the bridge that NICs are attached to, in this sandbox's network."""
    require_sandbox()
    subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
