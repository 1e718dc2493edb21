"""Hot-plug as Ganeti calls it: methods of ``KVMHypervisor``, each one delegation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ganeti import constants, errors
from ganeti.hypervisor import hv_base

from ganeti_hv_kvm.hv_kvm import bus_manager, compat, q35, settings
from ganeti_hv_kvm.hv_kvm.bus_manager import BusAllocatorManager
from ganeti_hv_kvm.hv_kvm.ganeti.unknown_parameters import left_to_own_module
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime

from . import exchange, operations, support
from .guest import Guest, Hooks, NicFunction, hvinfos

if TYPE_CHECKING:
    from ganeti_hv_kvm.hv_kvm import launch
    from ganeti_hv_kvm.hv_kvm.instance_files import InstanceFiles


def _down_script() -> NicFunction | None:
    """Ganeti's function that runs the node's script for a NIC that has gone, where it has one."""
    run = getattr(hv_base, "DeConfigureNIC", None)
    if run is None:
        return None
    return lambda instance, seq, nic, tap: run(
        [compat.NIC_SETUP_SCRIPT, tap], instance, seq, nic, tap
    )


def _check_settings() -> None:
    try:
        settings.check()
    except errors.HypervisorError as err:
        raise errors.HotplugError(str(err)) from err


class HotplugMethods:
    """Mixed into the hypervisor; all raise ``errors.HotplugError``."""

    if TYPE_CHECKING:

        @classmethod
        def _Files(cls, instance_name: str) -> InstanceFiles: ...
        def _Hooks(self) -> launch.Hooks: ...
        def _OwnClass(self, instance: Any, serialized_runtime: Any = None) -> Any: ...
        def _LoadKVMRuntime(self, instance: Any) -> KVMRuntime: ...
        def _SaveKVMRuntime(self, instance: Any, kvm_runtime: Any) -> None: ...

    def _RunningGuest(self, instance: Any) -> Guest:
        lent = self._Hooks()
        hooks = Hooks(
            open_tap=lent.open_tap,
            qmp_connection=lent.qmp_connection,
            configure_nic=lent.configure_nic,
            load_runtime=self._LoadKVMRuntime,
            save_runtime=self._SaveKVMRuntime,
            deconfigure_nic=_down_script(),
        )
        return Guest(instance, self._Files(instance.name), hooks)

    def _ReconcileDevices(self, instance: Any) -> None:
        """Bring the runtime file up to date with QEMU's devices."""
        operations.reconcile(self._RunningGuest(instance))

    def VerifyHotplugSupport(self, instance: Any, action: str, dev_type: str) -> None:
        """Check that devices of this kind can be added, removed or changed.

        Args:
            action: ``constants.HOTPLUG_ACTION_*``.
            dev_type: ``constants.HOTPLUG_TARGET_*``.
        """
        support.verify(self._RunningGuest(instance), action, dev_type)

    def HotplugSupported(self, instance: Any) -> None:
        """Check that the instance runs, on a QEMU that can add and remove devices."""
        support.verify_in_general(self._RunningGuest(instance))

    @left_to_own_module
    def HotAddDevice(self, instance: Any, dev_type: str, device: Any, extra: Any, seq: int) -> None:
        """Give the guest a disk or a NIC; a failure leaves nothing, or says what it leaves.

        Args:
            device: Ganeti's ``objects.Disk`` or ``objects.NIC``.
            extra: of a disk: (link, URI or None).
            seq: the device's number among its kind.
        """
        _check_settings()
        operations.add(self._RunningGuest(instance), dev_type, device, extra, seq)

    def HotDelDevice(
        self, instance: Any, dev_type: str, device: Any, _: Any, seq: int
    ) -> dict[str, Any]:
        """Take a disk or a NIC from the guest, once the guest lets go, and tell where it sat."""
        _check_settings()
        return operations.remove(self._RunningGuest(instance), dev_type, device, seq)

    @left_to_own_module
    def HotModDevice(self, instance: Any, dev_type: str, device: Any, _: Any, seq: int) -> None:
        """Replace a NIC by one with other parameters; if that fails, the guest keeps the old."""
        _check_settings()
        exchange.modify(self._RunningGuest(instance), dev_type, device, seq)

    def ResizeDisk(self, instance: Any, disk: Any, new_size: int) -> None:
        """Let the guest see that a disk has grown to ``new_size`` bytes."""
        _check_settings()
        operations.resize_disk(self._RunningGuest(instance), disk, new_size)

    # Names that Ganeti's tests and site code reach

    def _VerifyHotplugCommand(self, _instance: Any, kvm_devid: str, should_exist: bool) -> None:
        operations.verify_device(self._RunningGuest(_instance), kvm_devid, should_exist)

    def _get_bus_manager(
        self,
        hvp: Mapping[str, Any] | None = None,
        runtime: KVMRuntime | None = None,
        chipset: str | None = None,
    ) -> BusAllocatorManager:
        """The buses of a guest; ``chipset``, "q35" or "i440fx", is known where nothing else is."""
        if chipset:
            root_ports = q35.is_q35(chipset)
        elif runtime:
            root_ports = q35.has_root_ports(runtime.kvm_cmd)
        else:
            root_ports = q35.is_q35((hvp or {}).get(constants.HV_KVM_MACHINE_VERSION))
        taken = hvinfos(runtime) if runtime else []
        return bus_manager.manager_for(hvp, taken, root_ports=root_ports)
