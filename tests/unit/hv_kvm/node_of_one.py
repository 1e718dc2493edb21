"""A node with one guest: its files are real, its QEMU is scripted, the rest is written down.

What is replaced is what Ganeti's tests and sites replace: ``hv_kvm.OpenTap``, methods of
``KVMHypervisor``, and the end of a process (it would be that of the tests).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ganeti import constants, errors, objects, pathutils, utils

from ganeti_hv_kvm import hv_kvm
from ganeti_hv_kvm.hv_kvm.guest import process
from ganeti_hv_kvm.hv_kvm.guest.files import Directories
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.host import nic_scripts
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime
from ganeti_hv_kvm.hv_kvm.lifecycle import new_runtime
from ganeti_hv_kvm.hv_kvm.qemu import binary
from unit.hv_kvm.command_line import samples

from .scripted_qemu import ScriptedQemu

#: Attributes of the class, in the order of ``Directories``.
_FOLDERS = ("PIDS", "UIDS", "CTRL", "CONF", "NICS", "CHROOT", "CHROOT_QUARANTINE")


class Node:
    """One guest's node.

    Attributes:
        log: what was done, in order: names of QMP commands that are no mere questions, and what
            the node did.
        qemu: the QEMU that runs, None while the guest is down.
        doubt: whether the guest runs cannot be told, and why.
        failing: names of what fails: "open tap", "network script", "run qemu", "cpu affinity",
            "save".
        prepare: what to do with each QEMU before anybody connects to it.
        command: what QEMU was started with.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        self.qemu: ScriptedQemu | None = None
        self.doubt: Exception | None = None
        self.failing: set[str] = set()
        self.prepare: Callable[[ScriptedQemu], object] = lambda _qemu: None
        self.command: list[str] = []
        self._fds: list[int] = []
        places = {}
        for attribute, name in zip(_FOLDERS, Directories._fields, strict=True):
            (folder / name).mkdir()
            places[f"_{attribute}_DIR"] = str(folder / name)
        self.hypervisor = self._made(places)
        for name in ("DATA_DIR", "LOG_KVM_DIR"):
            monkeypatch.setattr(pathutils, name, str(folder))
        monkeypatch.setattr(hv_kvm, "OpenTap", self._open_tap)
        monkeypatch.setattr(process, "kill", lambda _files: self.end_qemu())
        monkeypatch.setattr(binary, "probe", lambda _path: samples.facts())
        monkeypatch.setattr(nic_scripts, "undo", self._undo_nic)

    def _made(self, places: dict[str, str]) -> Any:
        node = self

        class Hypervisor(hv_kvm.KVMHypervisor):
            def _ConfigureNIC(self, instance, seq, nic, tap, **_more):
                node._do("network script", f"{seq} {tap}")

            def _RunKVMCmd(self, name, command, fds=None):
                node._do("run qemu")
                node.command = command
                node.start_qemu()

            def _ExecuteCpuAffinity(self, instance, cpu_mask):
                node._do("cpu affinity", cpu_mask)

            def _WriteKVMRuntime(self, name, data):
                node._do("save")
                super()._WriteKVMRuntime(name, data)

            @classmethod
            def _InstancePidAlive(cls, name):
                if node.doubt:
                    raise node.doubt
                return cls._Files(name).pidfile, os.getpid() if node.qemu else 0, bool(node.qemu)

        for name, value in places.items():
            setattr(Hypervisor, name, value)
        return Hypervisor.__new__(Hypervisor)

    def _do(self, what: str, more: str = "") -> None:
        self.log.append(f"{what} {more}".rstrip())
        if what in self.failing:
            raise errors.HypervisorError(f"{what}: it fails")

    def _open_tap(self, *, name: str, features: Any) -> tuple[str, list[int], list[int]]:
        self._do("open tap")
        made = [os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC) for _ in range(features["mq"][1])]
        self._fds += made
        return f"tap{len(self._fds) - 1}", made, []

    def _undo_nic(self, _instance: Any, seq: int, _nic: Any, tap: str) -> None:
        self.log.append(f"undo network {seq} {tap}")

    def are_fds_closed(self) -> bool:
        """Whether nothing that was opened for a NIC is open here."""
        return not any(os.path.exists(f"/proc/self/fd/{fd}") for fd in self._fds)

    def start_qemu(self) -> ScriptedQemu:
        """QEMU comes up, in "prelaunch", as after -S."""
        self.qemu = ScriptedQemu(self.files.qmp, self.log)
        self.prepare(self.qemu)
        return self.qemu

    def end_qemu(self) -> None:
        """QEMU is killed."""
        self.log.append("end qemu")
        if self.qemu:
            self.qemu.close()
            utils.RemoveFile(self.files.qmp)
        self.qemu = None

    @property
    def files(self) -> Any:
        return self.hypervisor._Files(samples.NAME)

    def guest(self, instance: Any) -> Guest:
        return self.hypervisor._Guest(instance)

    def stored(self) -> KVMRuntime:
        """What the runtime file holds."""
        return KVMRuntime.from_serialized(Path(self.files.runtime).read_text())

    def running(self, instance: Any, disks: Any = ()) -> Guest:
        """A guest that runs, with its runtime file and its devices in QEMU."""
        guest = self.guest(instance)
        runtime = new_runtime.make_runtime(instance, disks, False, guest.files, samples.facts())
        guest.save(runtime)
        qemu = self.start_qemu()
        qemu.run_state = "running"
        for disk, _, _ in runtime.kvm_disks:
            qemu.devices.add(disk.hvinfo["id"])
            qemu.storage[disk.hvinfo["id"]] = "node"
        Path(guest.files.nic_dir).mkdir()
        for seq, nic in enumerate(runtime.kvm_nics):
            qemu.devices.add(nic.hvinfo["id"])
            qemu.netdevs.add(nic.hvinfo["id"])
            Path(guest.files.nic_file(seq)).write_text(f"gnt-no-tap{seq}")
        self.log.clear()
        return guest

    def left(self) -> set[str]:
        """The instance's files that are there."""
        root = Path(self.files.directories.conf).parent
        return {str(one.relative_to(root)) for one in root.rglob("*") if not one.is_dir()}


def nic(number: int = 0) -> Any:
    """A bridged NIC."""
    return objects.NIC(
        mac=f"aa:00:00:11:22:{number:02x}",
        uuid=f"0{number}000000-1111-4222-8333-444444444444",
        nicparams={
            constants.NIC_MODE: constants.NIC_MODE_BRIDGED,
            constants.NIC_LINK: "br0",
            constants.NIC_VLAN: "",
        },
        hvinfo={},
    )


def instance(nics: int = 0, **hvparams: Any) -> Any:
    """An instance as Ganeti sends it; nothing of a display, which would take a port."""
    made = samples.instance(**{"vnc_bind_address": "", "user_shutdown": False, **hvparams})
    made.nics = [nic(number) for number in range(nics)]
    made.primary_node, made.serial_no, made.tags = "n1-uuid", 7, []
    return made
