"""Names of the original's class around a start, a stop and pinning, each a delegation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ganeti import constants

from . import affinity, launch, nic_scripts, plan, qemu_binary, user_shutdown
from .instance_files import InstanceFiles
from .kvm_runtime import KVMRuntime


class LaunchNames:
    """Mixed into the hypervisor; all raise ``errors.HypervisorError``."""

    if TYPE_CHECKING:

        @classmethod
        def _Files(cls, instance_name: str) -> InstanceFiles: ...
        def _Hooks(self) -> launch.Hooks: ...
        @classmethod
        def ValidateParameters(cls, hvparams: Any) -> None: ...
        def StopInstance(
            self,
            instance: Any,
            force: bool = False,
            retry: bool = False,
            name: str | None = None,
            timeout: float | None = None,
        ) -> None: ...

    def _GenerateKVMRuntime(
        self, instance: Any, block_devices: Any, startup_paused: bool, kvmhelp: str
    ) -> KVMRuntime:
        """Lay out a guest; ``kvmhelp``, QEMU's own text, is asked for anew."""
        self.ValidateParameters(instance.hvparams)
        facts = qemu_binary.probe(instance.hvparams[constants.HV_KVM_PATH])
        files = self._Files(instance.name)
        return plan.make_runtime(instance, block_devices, startup_paused, files, facts)

    def _ExecuteKVMRuntime(
        self,
        instance: Any,
        kvm_runtime: Any,
        kvmhelp: str,
        incoming: tuple[str, int] | None = None,
    ) -> None:
        """Start a guest that was laid out; ``kvmhelp`` is asked for anew."""
        facts = qemu_binary.probe(instance.hvparams[constants.HV_KVM_PATH])
        files = self._Files(instance.name)
        launch.Launch(instance, kvm_runtime, facts, files, self._Hooks(), incoming).run()

    @staticmethod
    def _StartKvmd(hvparams: Mapping[str, Any]) -> None:
        if hvparams[constants.HV_KVM_USER_SHUTDOWN]:
            user_shutdown.ensure_daemon()

    def _StopInstance(
        self,
        instance: Any,
        force: bool = False,
        name: str | None = None,
        timeout: float | None = None,
    ) -> None:
        self.StopInstance(instance, force=force, name=name, timeout=timeout)

    @staticmethod
    def _DeConfigureNIC(instance: Any, seq: int, nic: Any, tap: str) -> None:
        nic_scripts.undo(instance, seq, nic, tap)

    def _DeConfigureAllNICs(self, instance: Any) -> None:
        nic_scripts.undo_all(self._Files(instance.name))

    @classmethod
    def _SetProcessAffinity(cls, process_id: int, cpus: Any) -> None:
        unpinned = cpus == constants.CPU_PINNING_OFF
        affinity.pin(process_id, affinity.online_cpus() if unpinned else cpus)

    @classmethod
    def _AssignCpuAffinity(
        cls, cpu_mask: str, process_id: int, thread_dict: Mapping[int, int]
    ) -> None:
        masks = affinity.parse(cpu_mask, len(thread_dict))
        if masks:
            affinity.apply(masks, process_id, thread_dict)

    def _GetVcpuThreadIds(self, instance: Any) -> dict[int, int]:
        """Thread id by vCPU number. 3.0 gives the instance's name here, 3.1 the instance."""
        name = getattr(instance, "name", instance)
        return affinity.vcpu_threads(self._Files(name).qmp, self._Hooks().qmp_connection)
