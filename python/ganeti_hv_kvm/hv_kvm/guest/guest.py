"""One guest on this node, and what Ganeti's hypervisor object lends to those who work on it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from ganeti import constants, errors, objects

from ganeti_hv_kvm.hv_kvm.devices.description import Features
from ganeti_hv_kvm.hv_kvm.ganeti import settings
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import text
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime
from ganeti_hv_kvm.hv_kvm.qemu import binary
from ganeti_hv_kvm.hv_kvm.qemu.facts import QemuFacts

from .files import InstanceFiles

if TYPE_CHECKING:
    from ganeti_hv_kvm.hv_kvm.monitor import QmpConnection

#: (pid file, process id, is it the instance's QEMU and alive)
PidAlive = tuple[str, int, bool]


class Seams(Protocol):
    """What tests and site code may replace, looked up at the time of each call.

    They replace names in the module (``hv_kvm.QmpConnection``) and methods of the class or the
    object (``_ConfigureNIC``). All raise ``errors.HypervisorError``.
    """

    def open_tap(self, *, name: str, features: Features) -> tuple[str, list[int], list[int]]:
        """Open a TAP device: (interface name, its descriptors, those of vhost)."""

    def qmp_connection(self, path: str) -> QmpConnection:
        """Make a connection to the monitor at ``path``, to be used in a ``with``."""

    def pid_alive(self, name: str) -> PidAlive:
        """Tell whether an instance's QEMU runs; an error if that cannot be told."""

    def configure_nic(
        self, instance: objects.Instance, seq: int, nic: objects.NIC, tap: str, **more: object
    ) -> None:
        """Run the node's network script for a NIC and its TAP device."""

    def run_qemu(self, name: str, command: Sequence[str], fds: Sequence[int]) -> None:
        """Run QEMU, with the descriptors that it inherits; an error if it does not come up."""

    def execute_cpu_affinity(self, instance: objects.Instance, cpu_mask: str) -> None:
        """Pin the running guest to CPUs."""

    def read_runtime(self, name: str) -> str:
        """Read the runtime file of the instance with this name."""

    def write_runtime(self, name: str, data: str) -> None:
        """Write it."""

    def load_runtime(self, instance: objects.Instance) -> KVMRuntime:
        """Read an instance's runtime file."""

    def load_current_runtime(self, instance: objects.Instance) -> KVMRuntime:
        """Read it after a look at which devices the guest still has, if its QEMU tells."""

    def save_runtime(self, instance: objects.Instance, runtime: KVMRuntime) -> None:
        """Write an instance's runtime file."""

    def reconcile_devices(self, instance: objects.Instance) -> None:
        """Bring the runtime file up to date with QEMU's devices."""

    def clean_up(self, name: str) -> None:
        """Remove the files of the instance with this name, which is down."""


class Guest:
    """An instance as this node has it.

    Attributes:
        instance: Ganeti's ``objects.Instance``; its hvparams are those of today. Where Ganeti gave
            a name alone it has nothing else.
        files: where this node has its files.
        seams: what the hypervisor object lends.
    """

    __slots__ = ("files", "instance", "seams")

    def __init__(self, instance: objects.Instance, files: InstanceFiles, seams: Seams) -> None:
        self.instance = instance
        self.files = files
        self.seams = seams

    @property
    def name(self) -> str:
        """The instance's name."""
        return self.files.name

    def pid(self) -> int | None:
        """Its QEMU's process id, None if it does not run here.

        Raises:
            errors.HypervisorError: whether it runs cannot be told.
        """
        _, pid, alive = self.seams.pid_alive(self.name)
        return pid if alive else None

    def is_gone(self) -> bool:
        """Tell whether it is certain that it does not run here."""
        try:
            return self.pid() is None
        except errors.HypervisorError as err:
            logging.warning("Whether %s has a QEMU here cannot be told: %s", self.name, err)
            return False

    def process(self) -> str:
        """Name its process in an error text."""
        try:
            pid = self.pid()
        except errors.HypervisorError as err:
            return f"process not known: {err}"
        return "process gone" if pid is None else f"process {pid}"

    def monitor(self, seconds: float | None = None) -> QmpConnection:
        """Make a connection to its QEMU, to be used in a ``with``.

        Args:
            seconds: limit of each call, and of connecting; None for that of the instance's
                parameters (kvm_qmp_timeout), or else the setting's.
        """
        connection = self.seams.qmp_connection(self.files.qmp)
        if seconds is None:
            seconds = settings.configured_qmp_seconds(getattr(self.instance, "hvparams", None))
        if seconds is not None:
            connection.timeout = seconds
        return connection

    def load(self) -> KVMRuntime:
        """Tell what the guest consists of, according to its runtime file.

        Raises:
            errors.HypervisorError: there is none, or it cannot be read.
        """
        return self.seams.load_runtime(self.instance)

    def save(self, runtime: KVMRuntime) -> None:
        """Write the runtime file.

        Raises:
            errors.HypervisorError: it cannot be written.
        """
        self.seams.save_runtime(self.instance, runtime)

    def facts(self) -> QemuFacts:
        """Tell what the QEMU binary of this node can do.

        Raises:
            errors.HypervisorError: it does not tell.
        """
        return binary.probe(text(self.instance.hvparams, constants.HV_KVM_PATH))

    def hvp(self, runtime: KVMRuntime) -> dict[str, object]:
        """Give parameters as of the guest's first start; what is newer than it, as of today."""
        hvp: dict[str, object] = objects.FillDict(self.instance.hvparams, runtime.up_hvp)
        return hvp
