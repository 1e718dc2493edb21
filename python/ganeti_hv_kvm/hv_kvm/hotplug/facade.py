"""Hot-plug as Ganeti calls it: methods of ``KVMHypervisor``, each one delegation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm import bus_manager
from ganeti_hv_kvm.hv_kvm.bus_manager import BusAllocatorManager
from ganeti_hv_kvm.hv_kvm.devices import q35
from ganeti_hv_kvm.hv_kvm.devices.places import check_kind
from ganeti_hv_kvm.hv_kvm.ganeti import generation, settings
from ganeti_hv_kvm.hv_kvm.ganeti.unknown_parameters import left_to_own_module
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime
from ganeti_hv_kvm.hv_kvm.lifecycle.guest_access import GuestAccess

from . import memory, operations, prerequisites, replace_nic, vcpus
from .device import doing, hvinfos

if TYPE_CHECKING:
    from ganeti import objects


def _check_settings() -> None:
    try:
        settings.check()
    except errors.HypervisorError as err:
        raise errors.HotplugError(str(err)) from err


class HotplugMethods(GuestAccess):
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
        self, instance: objects.Instance, dev_type: str, device: Any, extra: Any, seq: int
    ) -> None:
        """Give the guest a disk or a NIC; a failure leaves nothing, or says what it leaves.

        Args:
            device: Ganeti's ``objects.Disk`` or ``objects.NIC``.
            extra: of a disk: (link, URI or None).
            seq: the device's number among its kind.

        Where Ganeti hot-plugs vCPUs and memory, ``device`` is how many vCPUs, or MiB, the guest is
        to have in all; anything else stands for what ``instance.beparams`` has.
        """
        _check_settings()
        if dev_type in prerequisites.grows():
            self._Grow(instance, dev_type, device)
            return
        check_kind(dev_type)
        operations.add(self._Guest(instance), dev_type, device, extra, seq)

    def HotDelDevice(
        self, instance: objects.Instance, dev_type: str, device: Any, _: Any, seq: int
    ) -> dict[str, Any]:
        """Take a disk or a NIC from the guest, once the guest lets go, and tell where it sat."""
        _check_settings()
        if dev_type in prerequisites.grows():
            self.VerifyHotplugSupport(instance, constants.HOTPLUG_ACTION_REMOVE, dev_type)
        check_kind(dev_type)
        return operations.remove(self._Guest(instance), dev_type, device, seq)

    @left_to_own_module
    def HotModDevice(
        self, instance: objects.Instance, dev_type: str, device: Any, _: Any, seq: int
    ) -> None:
        """Replace a NIC by one with other parameters; if that fails, the guest keeps the old.

        For vCPUs and memory this is ``HotAddDevice``.
        """
        _check_settings()
        if dev_type in prerequisites.grows():
            self._Grow(instance, dev_type, device)
            return
        check_kind(dev_type)
        replace_nic.modify(self._Guest(instance), dev_type, device, seq)

    def ResizeDisk(self, instance: objects.Instance, disk: objects.Disk, new_size: int) -> None:
        """Let the guest see that a disk has grown to ``new_size`` bytes."""
        _check_settings()
        operations.resize_disk(self._Guest(instance), disk, new_size)

    def HotModvCPUs(self, instance: objects.Instance, amount: int) -> None:
        """Give the guest vCPUs until it has ``amount``; one that has as many or more keeps them.

        Its operating system brings them online.
        """
        _check_settings()
        operations.grow(self._Guest(instance), operations.VCPUS, int(amount))

    def HotAddMemory(self, instance: objects.Instance, amount: int) -> None:
        """Give the guest memory until it has ``amount`` MiB; this returns when it has."""
        _check_settings()
        operations.grow(self._Guest(instance), operations.MEMORY, int(amount))

    def VerifyvCPUHotplugSupport(self, instance: objects.Instance, amount: int) -> None:
        """Check that the guest can be given vCPUs until it has ``amount``."""
        guest = self._Guest(instance)
        with doing(guest, f"growing to {amount} vCPUs"):
            vcpus.verify(guest, guest.load(), int(amount))

    def VerifyMemoryHotplugSupport(self, instance: objects.Instance, amount: int) -> None:
        """Check that the guest can be given memory until it has ``amount`` MiB."""
        guest = self._Guest(instance)
        with doing(guest, f"growing to {amount} MiB of memory"):
            memory.verify(guest, guest.load(), int(amount))

    def _Grow(self, instance: objects.Instance, dev_type: str, device: Any) -> None:
        for_vcpus = dev_type == generation.VCPU_TARGET
        stored = constants.BE_VCPUS if for_vcpus else constants.BE_MAXMEM
        wanted = device if type(device) is int else instance.beparams[stored]
        (self.HotModvCPUs if for_vcpus else self.HotAddMemory)(instance, wanted)

    # Names that Ganeti's tests and site code reach

    def _VerifyHotplugCommand(self, _instance: Any, kvm_devid: str, should_exist: bool) -> None:
        operations.verify_device(self._Guest(_instance), kvm_devid, should_exist)

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
