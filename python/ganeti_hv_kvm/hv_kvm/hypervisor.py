"""Ganeti's way into this package: the class that it makes an object of for each request.

Each method hands its work to a room of its own. Names that Ganeti's tests and site code replace
(``hv_kvm.OpenTap``, methods of the class) are looked up here, at the time of the call.
"""

from __future__ import annotations

import logging
import os
from types import ModuleType
from typing import Any, ClassVar

from ganeti import constants, errors, pathutils, utils
from ganeti.hypervisor import hv_base

from . import (
    affinity,
    assessment,
    console,
    inventory,
    launch,
    memory,
    monitor,
    nic_scripts,
    plan,
    qemu_binary,
    reboot,
    remote_image,
    settings,
    shutdown,
    validation,
)
from .ganeti import error_family, unknown_parameters
from .ganeti.unknown_parameters import left_to_own_module
from .hotplug.facade import HotplugMethods
from .kvm_runtime import KVMRuntime
from .migration import afterwards, departure
from .migration.facade import MigrationMethods
from .parameters import PARAMETERS, UNKNOWN
from .private_names import PrivateNames

#: A site's own script for NICs; Ganeti copies it to all nodes.
_KVM_NETWORK_SCRIPT = pathutils.CONF_DIR + "/kvm-vif-bridge"

_START_AND_STOP = "StartInstance StopInstance CleanupInstance RebootInstance BalloonInstanceMemory"
_LOOKING = "__init__ ListInstances GetInstanceInfo GetAllInstancesInfo GetNodeInfo Verify"
_DEVICES = "VerifyHotplugSupport HotplugSupported HotAddDevice HotDelDevice HotModDevice ResizeDisk"
_MOVING = "MigrationInfo AcceptInstance MigrateInstance GetMigrationStatus"
_SETTLING = "FinalizeMigrationSource FinalizeMigrationDst"
#: What Ganeti asks a node for.
_REQUESTS = f"{_START_AND_STOP} {_LOOKING} {_DEVICES} {_MOVING} {_SETTLING}".split()


def _namespace() -> ModuleType:
    from ganeti_hv_kvm import hv_kvm

    return hv_kvm


def _qmp_connection(path: str) -> Any:
    """Make a connection for commands that every QEMU knows."""
    return monitor.without_discovery(_namespace().QmpConnection)(path)


@error_family.converts(_REQUESTS)
class KVMHypervisor(
    HotplugMethods,
    MigrationMethods,
    PrivateNames,
    hv_base.BaseHypervisor,  # type: ignore[misc]
):
    """What Ganeti knows as the hypervisor "kvm".

    An object costs next to nothing, so that one may be made for each request, and several may be
    used at once. It remembers only which instances it could not ask to shut down, for the log.
    """

    CAN_MIGRATE = True
    PARAMETERS = PARAMETERS
    ANCILLARY_FILES: ClassVar = [_KVM_NETWORK_SCRIPT]
    ANCILLARY_FILES_OPT: ClassVar = [_KVM_NETWORK_SCRIPT]

    def __init__(self) -> None:
        super().__init__()
        self._never_asked: set[str] = set()
        # the run directory is empty after each reboot of the node
        utils.EnsureDirs([(directory, constants.RUN_DIRS_MODE) for directory in self._DIRS])

    @classmethod
    def _CheckDown(cls, instance_name: str) -> None:
        launch.check_down(instance_name, cls._InstancePidAlive(instance_name))

    @classmethod
    def _CallMonitorCommand(
        cls, instance_name: str, command: str, timeout: float | None = None
    ) -> Any:
        """Give a command to the human monitor; its text is ``stdout`` of what comes back."""
        with _qmp_connection(cls._InstanceQmpMonitor(instance_name)) as qmp:
            text = qmp.HumanMonitorCommand(command, timeout=timeout)
        return utils.RunResult(0, None, text, "", command.split(" ", maxsplit=1)[0], None, None)

    def _OwnClass(self, instance: Any, serialized_runtime: Any = None) -> Any:
        """Give Ganeti's own class where only that knows how to build this guest, else None."""
        if not UNKNOWN:
            return None
        try:
            stored = self._LoadKVMRuntime(instance, serialized_runtime)[2]
        except errors.HypervisorError:
            stored = None  # it was not started yet
        whose = f"instance {instance.name}"
        return unknown_parameters.own_class(whose, UNKNOWN, instance.hvparams, stored)

    # Start and stop

    def _Hooks(self) -> launch.Hooks:
        namespace = _namespace()
        return launch.Hooks(
            open_tap=namespace.OpenTap,
            qmp_connection=_qmp_connection,
            pid_alive=self._InstancePidAlive,
            configure_nic=self._ConfigureNIC,
            execute_cpu_affinity=self._ExecuteCpuAffinity,
        )

    @left_to_own_module
    def StartInstance(self, instance: Any, block_devices: Any, startup_paused: bool) -> None:
        """Start an instance.

        Args:
            instance: Ganeti's ``objects.Instance``.
            block_devices: its disks, as (``objects.Disk``, path of the device, URI or None).
            startup_paused: leave the guest paused before its first instruction.

        Raises:
            errors.HypervisorError: what failed; nothing is left of the attempt.
        """
        settings.check()
        self._CheckDown(instance.name)
        departure.check_start(instance)
        self.ValidateParameters(instance.hvparams)
        remote_image.check(instance.hvparams)
        files = self._Files(instance.name)
        facts = qemu_binary.probe(instance.hvparams[constants.HV_KVM_PATH])
        runtime = plan.make_runtime(instance, block_devices, startup_paused, files, facts)
        launch.Launch(instance, runtime, facts, files, self._Hooks()).run(
            save_runtime=lambda: self._SaveKVMRuntime(instance, runtime)
        )

    def StopInstance(
        self,
        instance: Any,
        force: bool = False,
        retry: bool = False,
        name: str | None = None,
        timeout: float | None = None,
    ) -> None:
        """Stop an instance; this returns before a guest that was asked has shut down.

        Args:
            instance: Ganeti's ``objects.Instance``; None if ``name`` is given.
            force: end QEMU without asking the guest.
            retry: the guest was asked before; it is asked again.
            name: stop this instance, of which nothing else is known; only with ``force``.
            timeout: seconds after which the caller will force the stop.

        Raises:
            errors.HypervisorError: the guest could not be asked, or QEMU could not be ended.
        """
        if name is None:
            name = instance.name
        elif not force:
            raise errors.HypervisorError(
                f"Instance {name}: only the name is known, so it can be stopped by force alone"
            )
        if not force:
            settings.check()  # pulling the plug needs none of them
        files, pid_alive = self._Files(name), self._InstancePidAlive(name)
        if force:
            if name in self._never_asked:
                logging.warning("Instance %s is ended without ever having been asked", name)
            shutdown.power_off(files, pid_alive)
        elif shutdown.power_down(instance, files, pid_alive, _qmp_connection, timeout):
            self._never_asked.discard(name)
        elif not retry:
            self._never_asked.add(name)

    def CleanupInstance(self, instance_name: str) -> None:
        """Remove the files of a stopped instance.

        Raises:
            errors.HypervisorError: it still runs, or files are left; they are named.
        """
        shutdown.clean_up(self._Files(instance_name), self._InstancePidAlive(instance_name))

    @left_to_own_module
    def RebootInstance(self, instance: Any) -> None:
        """Let a guest shut down, end it if it does not, and start it again as it was.

        Raises:
            errors.HypervisorError: whether it still runs, or is down now, and why.
        """
        settings.check()
        afterwards.refuse_if_left(self._Migrating(instance))
        files = self._Files(instance.name)
        load, save = self._LoadCurrentRuntime, self._SaveKVMRuntime
        reboot.reboot(instance, files, self._Hooks(), load, save)

    def BalloonInstanceMemory(self, instance: Any, mem: int) -> None:
        """Make a running guest use ``mem`` MiB; this returns when it does.

        Raises:
            errors.HypervisorError: what it uses instead.
        """
        settings.check()
        memory.balloon(self._Files(instance.name), mem, _qmp_connection)

    @staticmethod
    def _ConfigureNIC(
        instance: Any, seq: int, nic: Any, tap: str, extra_env: dict[str, str] | None = None
    ) -> None:
        """Run the node's network script for a NIC and its TAP device."""
        nic_scripts.set_up(instance, seq, nic, tap, extra_env)

    def _ExecuteCpuAffinity(self, instance: Any, cpu_mask: str) -> None:
        """Pin the running guest. 3.0 gives the instance's name here, 3.1 the instance."""
        name = getattr(instance, "name", instance)
        with _qmp_connection(self._InstanceQmpMonitor(name)) as qmp:
            cpus = qmp.execute_qmp("query-cpus-fast")
        masks = affinity.parse(cpu_mask, len(cpus))
        if masks:
            threads = {cpu["cpu-index"]: cpu["thread-id"] for cpu in cpus}
            affinity.apply(masks, self._InstancePidAlive(name)[1], threads)

    # Runtime files

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

    def _SaveKVMRuntime(self, instance: Any, kvm_runtime: Any) -> None:
        runtime = kvm_runtime if isinstance(kvm_runtime, KVMRuntime) else KVMRuntime(kvm_runtime)
        self._WriteKVMRuntime(instance.name, runtime.serialize())

    def _LoadKVMRuntime(self, instance: Any, serialized_runtime: Any = None) -> KVMRuntime:
        if serialized_runtime:
            return KVMRuntime.from_serialized(serialized_runtime)
        serialized = self._ReadKVMRuntime(instance.name)
        try:
            return KVMRuntime.from_serialized(serialized)
        except errors.HypervisorError as err:
            path = self._InstanceKVMRuntime(instance.name)
            raise errors.HypervisorError(f"{path}: {err}") from err

    def _LoadCurrentRuntime(self, instance: Any) -> KVMRuntime:
        """Load it after a look at which devices the guest still has, if its QEMU tells."""
        try:
            self._ReconcileDevices(instance)
        except errors.HypervisorError as err:
            logging.warning("The devices of %s are taken as last known: %s", instance.name, err)
        return self._LoadKVMRuntime(instance)

    # What runs here

    def ListInstances(self, hvparams: Any = None) -> list[str]:
        """Name the instances whose QEMU runs on this node, or of which that cannot be told.

        Raises:
            errors.HypervisorError: the folders of their files cannot be read.
        """
        names = inventory.names_with_process(self._PIDS_DIR, self._CTRL_DIR)
        running = inventory.running(names, self._InstancePidAlive)
        self._LookAfterMigrations(running)
        return running

    def GetInstanceInfo(
        self, instance_name: str, hvparams: Any = None
    ) -> inventory.InstanceInfo | None:
        """Tell (name, process id, MiB, vCPUs, state, 0) of an instance; None if it is down.

        Raises:
            errors.HypervisorError: it cannot be told whether it runs.
        """
        self._LookAfterMigrations([instance_name])
        return inventory.instance_info(self._Files(instance_name))

    def GetAllInstancesInfo(self, hvparams: Any = None) -> list[inventory.InstanceInfo]:
        """Tell the same of every instance of this node that runs or was shut down by its user.

        One of which that cannot be told counts as running, with the process id 0.

        Raises:
            errors.HypervisorError: the folders of their files cannot be read.
        """
        if getattr(self.GetInstanceInfo, "__func__", None) is not _GET_INSTANCE_INFO:
            return inventory.infos_through(self.GetInstanceInfo, self._CONF_DIR)
        names = set(inventory.names_with_process(self._PIDS_DIR, self._CTRL_DIR))
        names |= set(inventory.names_with_runtime(self._CONF_DIR))
        self._LookAfterMigrations(sorted(names))
        return inventory.all_infos(map(self._Files, sorted(names)))

    def GetNodeInfo(self, hvparams: Any = None) -> dict[str, Any]:
        """Tell memory (MiB) and CPUs of the node, and QEMU's version as hv_version."""
        node: dict[str, Any] = self.GetLinuxNodeInfo()
        facts = qemu_binary.probe(_kvm_path(hvparams))
        _, *numbers = facts.version
        node[constants.HV_NODEINFO_KEY_VERSION] = tuple(numbers)
        return node

    @classmethod
    def GetInstanceConsole(
        cls, instance: Any, primary_node: Any, node_group: Any, hvparams: Any, beparams: Any
    ) -> Any:
        """Tell how to reach the guest's console, as ``objects.InstanceConsole``."""
        return console.instance_console(
            instance, primary_node, node_group, hvparams, cls._Files(instance.name)
        )

    # Parameters

    def Verify(self, hvparams: Any = None) -> str | None:
        """Say what this node lacks to run guests; None if nothing."""
        missing = [
            f"{what} is not there: '{path}'"
            for what, path in (("QEMU", _kvm_path(hvparams)), ("socat", constants.SOCAT_PATH))
            if not os.path.exists(path)
        ]
        missing += filter(None, [unknown_parameters.report(UNKNOWN)])
        problems: str | None = self._FormatVerifyResults(missing)
        return problems

    @classmethod
    def CheckParameterSyntax(cls, hvparams: Any) -> None:
        """Check parameters as far as that needs no look at the node (on the master).

        Raises:
            errors.HypervisorError: which parameter is wrong.
        """
        if own := unknown_parameters.own_class("a guest", UNKNOWN, hvparams):
            own.CheckParameterSyntax(hvparams)
            return
        super().CheckParameterSyntax(hvparams)
        validation.check_all(hvparams)

    @classmethod
    def ValidateParameters(cls, hvparams: Any) -> None:
        """Check parameters against this node and its QEMU.

        Raises:
            errors.HypervisorError: which parameter is wrong.
        """
        if own := unknown_parameters.own_class("a guest", UNKNOWN, hvparams):
            own.ValidateParameters(hvparams)
            return
        super().ValidateParameters(hvparams)
        validation.validate_all(hvparams, qemu_binary.probe(hvparams[constants.HV_KVM_PATH]))

    @classmethod
    def AssessParameters(cls, hvparams: Any) -> list[str]:
        """Say which parameters are allowed, but slow, unsafe or fragile (Ganeti 3.1)."""
        return assessment.assess(hvparams)

    @classmethod
    def PowercycleNode(cls, hvparams: Any = None) -> None:
        """Restart this node the hard way, with all that runs on it."""
        cls.LinuxPowercycle()

    @staticmethod
    def VersionsSafeForMigration(src: Any, target: Any) -> bool:
        """Tell whether a guest may migrate between two versions of QEMU.

        The machine type that the guest was started with decides that, not the version.
        """
        return True


def _kvm_path(hvparams: Any) -> str:
    default: str = constants.KVM_PATH
    return hvparams.get(constants.HV_KVM_PATH, default) if hvparams is not None else default


#: Site code and tests put another in its place; a listing then goes through that one.
_GET_INSTANCE_INFO = KVMHypervisor.GetInstanceInfo
