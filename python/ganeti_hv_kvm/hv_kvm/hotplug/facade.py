"""Hot-plug as Ganeti calls it: methods of ``KVMHypervisor``, each one delegation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ganeti import constants

from ganeti_hv_kvm.hv_kvm import bus_manager
from ganeti_hv_kvm.hv_kvm.bus_manager import BusAllocatorManager
from ganeti_hv_kvm.hv_kvm.devices import q35
from ganeti_hv_kvm.hv_kvm.devices.places import check_kind
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import text_or_none
from ganeti_hv_kvm.hv_kvm.ganeti.unknown_parameters import left_to_own_module
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime

from . import operations, prerequisites, replace_nic
from .device import hvinfos
from .growth_facade import GROWING, GrowthMethods, check_settings

if TYPE_CHECKING:
    from ganeti import objects


__all__ = ["GROWING", "HotplugMethods"]


class HotplugMethods(GrowthMethods):
    """Mixed into the hypervisor; all raise ``errors.HotplugError``."""

    def _ReconcileDevices(self, instance: objects.Instance) -> None:
        """Bring the runtime file up to date with QEMU's devices."""
        operations.reconcile(self._Guest(instance))

    def VerifyHotplugSupport(self, instance: objects.Instance, action: str, dev_type: str) -> None:
        """Check that devices of this kind can be added, removed or changed.

        Args:
            action: ``constants.HOTPLUG_ACTION_*``.
            dev_type: ``constants.HOTPLUG_TARGET_*``.
        """
        if dev_type not in prerequisites.grows():
            check_kind(dev_type)
        prerequisites.verify(self._Guest(instance), action, dev_type)

    def HotplugSupported(self, instance: objects.Instance) -> None:
        """Check that the instance runs, on a QEMU that can add and remove devices."""
        prerequisites.verify_in_general(self._Guest(instance))

    @left_to_own_module
    def HotAddDevice(
        self, instance: objects.Instance, dev_type: str, device: Any, extra: object, seq: int
    ) -> None:
        """Give the guest a disk or a NIC; a failure leaves nothing, or says what it leaves.

        Args:
            device: Ganeti's ``objects.Disk`` or ``objects.NIC``.
            extra: of a disk: (link, URI or None).
            seq: the device's number among its kind.

        Where Ganeti hot-plugs vCPUs and memory, ``device`` is how many vCPUs, or MiB, the guest is
        to have in all; anything else stands for what ``instance.beparams`` has.
        """
        check_settings()
        if dev_type in prerequisites.grows():
            self._Grow(instance, dev_type, device)
            return
        check_kind(dev_type)
        operations.add(self._Guest(instance), dev_type, device, extra, seq)

    def HotDelDevice(
        self, instance: objects.Instance, dev_type: str, device: Any, _: object, seq: int
    ) -> dict[str, object]:
        """Take a disk or a NIC from the guest, once the guest lets go, and tell where it sat."""
        check_settings()
        if dev_type in prerequisites.grows():
            self.VerifyHotplugSupport(instance, constants.HOTPLUG_ACTION_REMOVE, dev_type)
        check_kind(dev_type)
        return operations.remove(self._Guest(instance), dev_type, device, seq)

    @left_to_own_module
    def HotModDevice(
        self, instance: objects.Instance, dev_type: str, device: Any, _: object, seq: int
    ) -> None:
        """Replace a NIC by one with other parameters; if that fails, the guest keeps the old.

        For vCPUs and memory this is ``HotAddDevice``.
        """
        check_settings()
        if dev_type in prerequisites.grows():
            self._Grow(instance, dev_type, device)
            return
        check_kind(dev_type)
        replace_nic.modify(self._Guest(instance), dev_type, device, seq)

    def ResizeDisk(self, instance: objects.Instance, disk: objects.Disk, new_size: int) -> None:
        """Let the guest see that a disk has grown to ``new_size`` bytes."""
        check_settings()
        operations.resize_disk(self._Guest(instance), disk, new_size)

    # Names that Ganeti's tests and site code reach

    def _VerifyHotplugCommand(
        self, _instance: objects.Instance, kvm_devid: str, should_exist: bool
    ) -> None:
        operations.verify_device(self._Guest(_instance), kvm_devid, should_exist)

    def _get_bus_manager(
        self,
        hvp: Mapping[str, object] | None = None,
        runtime: KVMRuntime | None = None,
        chipset: str | None = None,
    ) -> BusAllocatorManager:
        """The buses of a guest; ``chipset``, "q35" or "i440fx", is known where nothing else is."""
        if chipset:
            root_ports = q35.is_q35(chipset)
        elif runtime:
            root_ports = q35.has_root_ports(runtime.kvm_cmd)
        else:
            root_ports = q35.is_q35(text_or_none(hvp or {}, constants.HV_KVM_MACHINE_VERSION))
        taken = hvinfos(runtime) if runtime else []
        return bus_manager.manager_for(hvp, taken, root_ports=root_ports)
