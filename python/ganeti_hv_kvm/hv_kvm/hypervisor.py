"""Ganeti's way into this package: the class that it makes an object of for each request.

Each method hands its work to a room of its own. Names that Ganeti's tests and site code replace
(``hv_kvm.OpenTap``, methods of the class) are looked up here, at the time of the call.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from ganeti import constants, errors, objects, pathutils, utils
from ganeti.hypervisor import hv_base

from . import validation
from .ganeti import (
    boot_type,
    error_family,
    parameter_advice,
    settings,
    settings_file,
    unknown_parameters,
)
from .ganeti.hvparams import text
from .ganeti.parameters import PARAMETERS, UNKNOWN
from .ganeti.unknown_parameters import left_to_own_module
from .historic_names import HistoricNames
from .host import nic_scripts, remote_image
from .hotplug.facade import GROWING, HotplugMethods
from .kvm_runtime import KVMRuntime
from .lifecycle import (
    balloon,
    console,
    cpu_pinning,
    guest_access,
    listing,
    listing_by_name,
    new_runtime,
    options_fit,
    reboot,
    start,
    stop,
)
from .migration import afterwards, departure
from .migration.facade import MigrationMethods
from .qemu import binary
from .qemu.verbs import control

if TYPE_CHECKING:
    from .ganeti.block_devices import BlockDevice

#: A site's own script for NICs; Ganeti copies it to all nodes.
_KVM_NETWORK_SCRIPT = pathutils.CONF_DIR + "/kvm-vif-bridge"

_START_AND_STOP = "StartInstance StopInstance CleanupInstance RebootInstance BalloonInstanceMemory"
_LOOKING = "__init__ ListInstances GetInstanceInfo GetAllInstancesInfo GetNodeInfo Verify"
_DEVICES = "VerifyHotplugSupport HotplugSupported HotAddDevice HotDelDevice HotModDevice ResizeDisk"
_MOVING = "MigrationInfo AcceptInstance MigrateInstance GetMigrationStatus"
_SETTLING = "FinalizeMigrationSource FinalizeMigrationDst"
#: What Ganeti asks a node for.
_REQUESTS = f"{_START_AND_STOP} {_LOOKING} {_DEVICES} {GROWING} {_MOVING} {_SETTLING}".split()


@error_family.converts(_REQUESTS)
class KVMHypervisor(HotplugMethods, MigrationMethods, HistoricNames, hv_base.BaseHypervisor):
    """What Ganeti knows as the hypervisor "kvm".

    An object costs next to nothing, so that one may be made for each request, and several may be
    used at once. It remembers only which instances it could not ask to shut down, for the log.
    """

    CAN_MIGRATE = True
    PARAMETERS = PARAMETERS
    ANCILLARY_FILES: ClassVar = [_KVM_NETWORK_SCRIPT, settings_file.PATH]
    ANCILLARY_FILES_OPT: ClassVar = [_KVM_NETWORK_SCRIPT, settings_file.PATH]

    def __init__(self) -> None:
        super().__init__()
        self._never_asked: set[str] = set()
        # the run directory is empty after each reboot of the node
        utils.EnsureDirs([(directory, constants.RUN_DIRS_MODE) for directory in self._DIRS])

    @classmethod
    def _CheckDown(cls, instance_name: str) -> None:
        start.check_down(instance_name, cls._InstancePidAlive(instance_name))

    @classmethod
    def _CallMonitorCommand(
        cls, instance_name: str, command: str, timeout: float | None = None
    ) -> utils.RunResult:
        """Give a command to the human monitor; its text is ``stdout`` of what comes back."""
        with guest_access.qmp_connection(cls._InstanceQmpMonitor(instance_name)) as qmp:
            text = control.human_monitor_command(qmp, command, timeout=timeout)
        return utils.RunResult(0, None, text, "", command.split(" ", maxsplit=1)[0], None, None)

    # Start and stop

    @left_to_own_module
    def StartInstance(
        self, instance: objects.Instance, block_devices: Iterable[BlockDevice], startup_paused: bool
    ) -> None:
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
        guest = self._Guest(instance)
        departure.check_start(instance)
        self.ValidateParameters(instance.hvparams)
        remote_image.check(instance.hvparams)
        start.start_new(guest, block_devices, startup_paused)

    def StopInstance(
        self,
        instance: objects.Instance | None,
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
            if instance is None:
                raise errors.ProgrammerError("an instance is stopped by what it is, or by its name")
            name = instance.name
        elif not force:
            raise errors.HypervisorError(
                f"Instance {name}: only the name is known, so it can be stopped by force alone"
            )
        if not force:
            settings.check()  # pulling the plug needs none of them
        guest = self._Guest(instance, name)
        if force:
            if name in self._never_asked:
                logging.warning("Instance %s is ended without ever having been asked", name)
            stop.power_off(guest)
        elif stop.power_down(guest, timeout):
            self._never_asked.discard(name)
        elif not retry:
            self._never_asked.add(name)

    def CleanupInstance(self, instance_name: str) -> None:
        """Remove the files of a stopped instance.

        Raises:
            errors.HypervisorError: it still runs, or files are left; they are named.
        """
        stop.clean_up(self._Guest(None, instance_name))

    @left_to_own_module
    def RebootInstance(self, instance: objects.Instance) -> None:
        """Let a guest shut down, end it if it does not, and start it again as it was.

        Raises:
            errors.HypervisorError: whether it still runs, or is down now, and why.
        """
        settings.check()
        guest = self._Guest(instance)
        afterwards.refuse_if_elsewhere(guest)
        reboot.reboot(guest)

    def BalloonInstanceMemory(self, instance: objects.Instance, mem: int) -> None:
        """Make a running guest use ``mem`` MiB; this returns when it does.

        Raises:
            errors.HypervisorError: what it uses instead.
        """
        settings.check()
        balloon.balloon(self._Guest(instance), mem)

    @staticmethod
    def _ConfigureNIC(
        instance: objects.Instance,
        seq: int,
        nic: objects.NIC,
        tap: str,
        extra_env: dict[str, str] | None = None,
    ) -> None:
        """Run the node's network script for a NIC and its TAP device."""
        nic_scripts.set_up(instance, seq, nic, tap, extra_env)

    def _ExecuteCpuAffinity(self, instance: objects.Instance | str, cpu_mask: str) -> None:
        """Pin the running guest. 3.0 gives the instance's name here, 3.1 the instance."""
        if isinstance(instance, str):
            instance = objects.Instance(name=instance)
        guest = self._Guest(instance)
        threads = cpu_pinning.vcpu_threads(guest)
        masks = cpu_pinning.parse(cpu_mask, len(threads))
        if masks:
            cpu_pinning.apply(masks, guest.seams.pid_alive(guest.name)[1], threads)

    def _GenerateKVMRuntime(
        self,
        instance: objects.Instance,
        block_devices: Iterable[BlockDevice],
        startup_paused: bool,
        kvmhelp: str,
    ) -> KVMRuntime:
        """Lay out a guest; ``kvmhelp``, QEMU's own text, is asked for anew."""
        self.ValidateParameters(instance.hvparams)
        guest = self._Guest(instance)
        options = options_fit.for_start(instance)
        return new_runtime.make_runtime(
            instance, block_devices, startup_paused, guest.files, guest.facts(), options=options
        )

    def _ExecuteKVMRuntime(
        self,
        instance: objects.Instance,
        kvm_runtime: KVMRuntime | Sequence[object],
        kvmhelp: str,
        incoming: tuple[str, int] | None = None,
    ) -> None:
        """Start a guest that was laid out; ``kvmhelp`` is asked for anew."""
        self._CheckDown(instance.name)
        guest = self._Guest(instance)
        runtime = kvm_runtime if isinstance(kvm_runtime, KVMRuntime) else KVMRuntime(kvm_runtime)
        start.Start(guest, runtime, guest.facts(), incoming).run()

    def _StopInstance(
        self,
        instance: objects.Instance | None,
        force: bool = False,
        name: str | None = None,
        timeout: float | None = None,
    ) -> None:
        self.StopInstance(instance, force=force, name=name, timeout=timeout)

    # What runs here

    def ListInstances(self, hvparams: dict[str, object] | None = None) -> list[str]:
        """Name the instances whose QEMU runs on this node, or of which that cannot be told.

        Raises:
            errors.HypervisorError: the folders of their files cannot be read.
        """
        running = listing.running(self._names_here(), self._InstancePidAlive)
        self._LookAfterMigrations(running)
        return running

    def GetInstanceInfo(
        self, instance_name: str, hvparams: dict[str, object] | None = None
    ) -> listing.InstanceInfo | None:
        """Tell (name, process id, MiB, vCPUs, state, 0) of an instance; None if it is down.

        Raises:
            errors.HypervisorError: it cannot be told whether it runs.
        """
        deadline = settings.configured_qmp_seconds(hvparams)
        if self._HasReplaced(_ASKED_FOR_INFO):
            seconds = settings.QMP.value() if deadline is None else deadline
            return listing_by_name.instance_info(self, instance_name, seconds)
        self._LookAfterMigrations([instance_name])
        return listing.instance_info(self._Files(instance_name), deadline)

    def GetAllInstancesInfo(
        self, hvparams: dict[str, object] | None = None
    ) -> list[listing.InstanceInfo]:
        """Tell the same of every instance of this node that runs or was shut down by its user.

        One of which that cannot be told counts as running, with the process id 0.

        Raises:
            errors.HypervisorError: the folders of their files cannot be read.
        """
        if self._HasReplaced({**_ASKED_FOR_INFO, **_ASKED_FOR_ALL_INFOS}):
            return listing_by_name.all_infos(self.GetInstanceInfo, self._CONF_DIR)
        names = self._names_here()
        self._LookAfterMigrations(names)
        return listing.all_infos(map(self._Files, names))

    def _names_here(self) -> list[str]:
        return listing.names_here(self._PIDS_DIR, self._CTRL_DIR, self._CONF_DIR)

    def _HasReplaced(self, names: Mapping[str, object]) -> bool:
        """Tell whether another function is in the place of one of ours, here or on the class."""
        return any(
            getattr(getattr(self, name), "__func__", None) is not own for name, own in names.items()
        )

    def GetNodeInfo(self, hvparams: dict[str, object] | None = None) -> dict[str, object]:
        """Tell memory (MiB) and CPUs of the node, and QEMU's version as hv_version."""
        node: dict[str, object] = self.GetLinuxNodeInfo()
        facts = binary.probe(_kvm_path(hvparams))
        _, *numbers = facts.version
        node[constants.HV_NODEINFO_KEY_VERSION] = tuple(numbers)
        return node

    @classmethod
    def GetInstanceConsole(
        cls,
        instance: objects.Instance,
        primary_node: objects.Node,
        node_group: objects.NodeGroup,
        hvparams: dict[str, object],
        beparams: dict[str, object],
    ) -> objects.InstanceConsole:
        """Tell how to reach the guest's console, as ``objects.InstanceConsole``."""
        return console.instance_console(
            instance, primary_node, node_group, hvparams, cls._Files(instance.name)
        )

    # Parameters

    def Verify(self, hvparams: dict[str, object] | None = None) -> str | None:
        """Say what this node lacks to run guests, or has wrong in its settings; None if nothing."""
        missing = [
            f"{what} is not there: '{path}'"
            for what, path in (("QEMU", _kvm_path(hvparams)), ("socat", constants.SOCAT_PATH))
            if not os.path.exists(path)
        ]
        missing += filter(None, [self._ReportUnknownParameters()])
        missing += settings.problems()
        return self._FormatVerifyResults(missing)

    @classmethod
    def _ReportUnknownParameters(cls) -> str | None:
        """Say what is done about parameters of this Ganeti that are not known; None if all are."""
        return unknown_parameters.report(UNKNOWN)

    @classmethod
    def CheckParameterSyntax(cls, hvparams: dict[str, object]) -> None:
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
    def ValidateParameters(cls, hvparams: dict[str, object]) -> None:
        """Check parameters against this node and its QEMU.

        Raises:
            errors.HypervisorError: which parameter is wrong.
        """
        if own := unknown_parameters.own_class("a guest", UNKNOWN, hvparams):
            own.ValidateParameters(hvparams)
            return
        super().ValidateParameters(boot_type.without_unused(hvparams))
        validation.validate_all(hvparams, binary.probe(text(hvparams, constants.HV_KVM_PATH)))

    @classmethod
    def AssessParameters(cls, hvparams: dict[str, object]) -> list[str]:
        """Say which parameters are allowed, but slow, unsafe or fragile (Ganeti 3.1)."""
        return parameter_advice.assess(hvparams)

    @classmethod
    def PowercycleNode(cls, hvparams: dict[str, object] | None = None) -> None:
        """Restart this node the hard way, with all that runs on it."""
        cls.LinuxPowercycle()

    @staticmethod
    def VersionsSafeForMigration(src: object, target: object) -> bool:
        """Tell whether a guest may migrate between two versions of QEMU.

        The machine type that the guest was started with decides that, not the version.
        """
        return True


def _kvm_path(hvparams: dict[str, object] | None) -> str:
    default: str = constants.KVM_PATH
    return str(hvparams.get(constants.HV_KVM_PATH, default)) if hvparams is not None else default


#: Site code and tests put others in their place; a listing then goes through those.
_ASKED_FOR_ALL_INFOS = {"GetInstanceInfo": KVMHypervisor.GetInstanceInfo}
_ASKED_FOR_INFO = {
    name: getattr(KVMHypervisor, name).__func__
    for name in ("_InstancePidAlive", "_InstancePidInfo", "_InstanceQmpMonitor")
}
