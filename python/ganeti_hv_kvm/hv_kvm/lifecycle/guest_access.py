"""What all methods of the hypervisor class need: an instance's files, its runtime, its ``Guest``.

``HotplugMethods``, ``MigrationMethods`` and ``HistoricNames`` inherit from it.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, Protocol, TypeVar

from ganeti import errors, objects, pathutils, utils

from ganeti_hv_kvm.hv_kvm import monitor
from ganeti_hv_kvm.hv_kvm.devices.description import Features
from ganeti_hv_kvm.hv_kvm.ganeti import guest_options, unknown_parameters
from ganeti_hv_kvm.hv_kvm.ganeti.parameters import UNKNOWN
from ganeti_hv_kvm.hv_kvm.guest import process
from ganeti_hv_kvm.hv_kvm.guest.files import Directories, InstanceFiles
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest, PidAlive
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime

if TYPE_CHECKING:
    from ganeti.hypervisor.hv_base import BaseHypervisor

    from ganeti_hv_kvm.hv_kvm.monitor import QmpConnection


class _HasQmp(Protocol):
    """What ``_with_qmp`` needs of an object."""

    qmp: QmpConnection | None

    def _InstanceQmpMonitor(self, instance_name: str) -> str: ...


_Self = TypeVar("_Self", bound=_HasQmp)
_P = ParamSpec("_P")
_R = TypeVar("_R")

_ROOT: str = pathutils.RUN_DIR + "/kvm-hypervisor"
_FOLDERS: list[str] = [
    f"{_ROOT}/{folder}"
    for folder in ("pid", "uid", "ctrl", "conf", "nic", "chroot", "chroot-quarantine")
]


def _namespace() -> ModuleType:
    from ganeti_hv_kvm import hv_kvm

    return hv_kvm


def qmp_connection(path: str) -> QmpConnection:
    """Make a connection for commands that every QEMU knows."""
    return monitor.without_discovery(_namespace().QmpConnection)(path)


def _with_qmp(
    method: Callable[Concatenate[_Self, _P], _R],
) -> Callable[Concatenate[_Self, _P], _R]:
    """Decorate a site's own method: while it runs, ``self.qmp`` is a connection to its guest.

    The guest is that of the first ``objects.Instance`` among its arguments. One who gives several
    commands may use the connection in a ``with``; else each opens and closes it.
    """

    @functools.wraps(method)
    def wrapper(self: _Self, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        if self.qmp:
            return method(self, *args, **kwargs)
        instances = (one for one in (*args, *kwargs.values()) if isinstance(one, objects.Instance))
        instance = next(instances, None)
        if instance is None:
            raise RuntimeError(f"{method.__name__} has no instance among its arguments")
        self.qmp = _namespace().QmpConnection(self._InstanceQmpMonitor(instance.name))
        try:
            return method(self, *args, **kwargs)
        finally:
            # the next call may be about another guest
            del self.qmp

    return wrapper


class _HypervisorSeams:
    """``Seams`` of one hypervisor object: the names that Ganeti gave, at the time of the call."""

    __slots__ = ("_hypervisor",)

    def __init__(self, hypervisor: Any) -> None:
        self._hypervisor = hypervisor

    def open_tap(self, *, name: str, features: Features) -> tuple[str, list[int], list[int]]:
        opened: tuple[str, list[int], list[int]] = _namespace().OpenTap(
            name=name, features=features
        )
        return opened

    def qmp_connection(self, path: str) -> QmpConnection:
        return qmp_connection(path)

    def pid_alive(self, name: str) -> PidAlive:
        found: PidAlive = self._hypervisor._InstancePidAlive(name)
        return found

    def configure_nic(
        self, instance: objects.Instance, seq: int, nic: objects.NIC, tap: str, **more: object
    ) -> None:
        self._hypervisor._ConfigureNIC(instance, seq, nic, tap, **more)

    def run_qemu(self, name: str, command: Sequence[str], fds: Sequence[int]) -> None:
        self._hypervisor._RunKVMCmd(name, command, fds)

    def execute_cpu_affinity(self, instance: objects.Instance, cpu_mask: str) -> None:
        self._hypervisor._ExecuteCpuAffinity(instance, cpu_mask)

    def read_runtime(self, name: str) -> str:
        text: str = self._hypervisor._ReadKVMRuntime(name)
        return text

    def write_runtime(self, name: str, data: str) -> None:
        self._hypervisor._WriteKVMRuntime(name, data)

    def load_runtime(self, instance: objects.Instance) -> KVMRuntime:
        runtime: KVMRuntime = self._hypervisor._LoadKVMRuntime(instance)
        return runtime

    def load_current_runtime(self, instance: objects.Instance) -> KVMRuntime:
        try:
            self.reconcile_devices(instance)
        except errors.HypervisorError as err:
            logging.warning("The devices of %s are taken as last known: %s", instance.name, err)
        return self.load_runtime(instance)

    def save_runtime(self, instance: objects.Instance, runtime: KVMRuntime) -> None:
        self._hypervisor._SaveKVMRuntime(instance, runtime)

    def reconcile_devices(self, instance: objects.Instance) -> None:
        self._hypervisor._ReconcileDevices(instance)

    def clean_up(self, name: str) -> None:
        self._hypervisor.CleanupInstance(name)


class GuestAccess:
    """The directories are looked up on the class at each call: tests move them elsewhere."""

    _ROOT_DIR = _ROOT
    _PIDS_DIR, _UIDS_DIR, _CTRL_DIR, _CONF_DIR, _NICS_DIR, _CHROOT_DIR, _CHROOT_QUARANTINE_DIR = (
        _FOLDERS
    )
    _DIRS: ClassVar = [_ROOT, *_FOLDERS]

    #: The connection of ``_with_qmp``, while a method of a site's own runs that has it.
    qmp: QmpConnection | None = None

    def _OpenQmp(self) -> QmpConnection:
        if self.qmp is None:
            raise errors.ProgrammerError("called without the connection that _with_qmp makes")
        return self.qmp

    @classmethod
    def _Files(cls, instance_name: str) -> InstanceFiles:
        directories = Directories(
            pids=cls._PIDS_DIR,
            uids=cls._UIDS_DIR,
            ctrl=cls._CTRL_DIR,
            conf=cls._CONF_DIR,
            nics=cls._NICS_DIR,
            chroot=cls._CHROOT_DIR,
            chroot_quarantine=cls._CHROOT_QUARANTINE_DIR,
        )
        return InstanceFiles(directories, instance_name)

    @classmethod
    def _InstanceKVMRuntime(cls, instance_name: str) -> str:
        return cls._Files(instance_name).runtime

    @classmethod
    def _InstancePidAlive(cls, instance_name: str) -> PidAlive:
        """Tell (pid file, process id, does it run) of an instance; the id is 0 if it does not.

        Raises:
            ProcessUnknownError: it cannot be told.
        """
        files = cls._Files(instance_name)
        pid = process.find(files)
        return (files.pidfile, pid or 0, pid is not None)

    def _Seams(self) -> _HypervisorSeams:
        return _HypervisorSeams(self)

    def _Guest(self, instance: objects.Instance | None, name: str | None = None) -> Guest:
        """Give the guest of an instance, or of a name of which nothing else is known."""
        if instance is None:
            instance = objects.Instance(name=name)
        return Guest(instance, self._Files(name or instance.name), self._Seams())

    def _OwnClass(
        self, instance: objects.Instance, serialized_runtime: str | bytes | None = None
    ) -> type[BaseHypervisor] | None:
        """Give Ganeti's own class where only that knows how to build this guest, else None."""
        if not UNKNOWN:
            return None
        try:
            stored = self._LoadKVMRuntime(instance, serialized_runtime)[2]
        except errors.HypervisorError:
            stored = None  # it was not started yet
        whose = f"instance {instance.name}"
        own = unknown_parameters.own_class(whose, UNKNOWN, instance.hvparams, stored)
        if own is not None:
            guest_options.check_left_to_own_module(instance)
        return own

    def _WriteKVMRuntime(self, instance_name: str, data: str | bytes) -> None:
        path = self._InstanceKVMRuntime(instance_name)
        try:
            utils.WriteFile(path, data=data)
        except OSError as err:
            raise errors.HypervisorError(f"{path} cannot be written: {err}") from err

    def _ReadKVMRuntime(self, instance_name: str) -> str:
        path = self._InstanceKVMRuntime(instance_name)
        try:
            return str(utils.ReadFile(path))
        except FileNotFoundError as err:
            raise errors.HypervisorError(
                f"{path} cannot be read: {err}. If instance {instance_name} runs here, what it was"
                " started with is not known any more (Ganeti's own module leaves it so after a"
                " migration whose end it does not hear). It runs on, and can be shut down;"
                f" 'gnt-instance reboot --type=full {instance_name}' puts that right"
            ) from err
        except (OSError, ValueError) as err:
            raise errors.HypervisorError(f"{path} cannot be read: {err}") from err

    def _SaveKVMRuntime(
        self, instance: objects.Instance, kvm_runtime: KVMRuntime | Sequence[object]
    ) -> None:
        runtime = kvm_runtime if isinstance(kvm_runtime, KVMRuntime) else KVMRuntime(kvm_runtime)
        self._WriteKVMRuntime(instance.name, runtime.serialize())

    def _LoadKVMRuntime(
        self, instance: objects.Instance, serialized_runtime: str | bytes | None = None
    ) -> KVMRuntime:
        if serialized_runtime:
            return KVMRuntime.from_serialized(serialized_runtime)
        serialized = self._ReadKVMRuntime(instance.name)
        try:
            return KVMRuntime.from_serialized(serialized)
        except errors.HypervisorError as err:
            path = self._InstanceKVMRuntime(instance.name)
            raise errors.HypervisorError(f"{path}: {err}") from err
