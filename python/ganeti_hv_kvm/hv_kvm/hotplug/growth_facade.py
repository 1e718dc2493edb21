"""Growth as Ganeti calls it: methods of ``KVMHypervisor`` for vCPUs and memory, each a delegation.

Upstream's designs give a kind of hot-plug device to each (``HotAddDevice``); its prototype has
methods of their own, by the names below. Nothing is ever taken from a guest that runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.ganeti import generation, settings
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import number
from ganeti_hv_kvm.hv_kvm.lifecycle.guest_access import GuestAccess
from ganeti_hv_kvm.hv_kvm.qemu.verbs import control

from . import memory, operations, vcpus
from .device import doing

if TYPE_CHECKING:
    from ganeti import objects

    from ganeti_hv_kvm.qmp_values.replies import HotpluggableCpu


#: Names of the methods that Ganeti, or a site, asks a node for.
GROWING = (
    "HotModvCPUs HotAddvCPUs HotAddMemory HotModMemory VerifyvCPUHotplugSupport"
    " VerifyMemoryHotplugSupport HotplugvCPUsSupported GetCurrentvCPUs GetHotpluggablevCPUs"
    " GetHotpluggedvCPUs EnablevCPUs GetCurrentMemory GetMaxMemory"
)


def check_settings() -> None:
    """Make sure that no setting of this node has a slip.

    Raises:
        errors.HotplugError: one has.
    """
    try:
        settings.check()
    except errors.HypervisorError as err:
        raise errors.HotplugError(str(err)) from err


class GrowthMethods(GuestAccess):
    """Mixed into the hypervisor; all raise ``errors.HotplugError``."""

    def HotModvCPUs(self, instance: objects.Instance, amount: int) -> None:
        """Give the guest vCPUs until it has ``amount``; one that has as many or more keeps them.

        Its operating system brings them online.
        """
        check_settings()
        operations.grow(self._Guest(instance), operations.VCPUS, int(amount))

    def HotAddMemory(self, instance: objects.Instance, amount: int) -> None:
        """Give the guest memory until it has ``amount`` MiB; this returns when it has."""
        check_settings()
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

    def _Grow(self, instance: objects.Instance, dev_type: str, device: object) -> None:
        for_vcpus = dev_type == generation.VCPU_TARGET
        stored = constants.BE_VCPUS if for_vcpus else constants.BE_MAXMEM
        wanted = device if type(device) is int else number(instance.beparams, stored)
        (self.HotModvCPUs if for_vcpus else self.HotAddMemory)(instance, wanted)

    def HotplugvCPUsSupported(self, instance: objects.Instance, amount: int | None = None) -> None:
        """Check that the guest can be given vCPUs, until it has ``amount`` if that is given."""
        guest = self._Guest(instance)
        with doing(guest, "more vCPUs while it runs"):
            vcpus.verify(guest, guest.load(), None if amount is None else int(amount))

    def GetCurrentvCPUs(self, instance: objects.Instance) -> int:
        """Tell how many vCPUs the guest has, those that were added included."""
        guest = self._Guest(instance)
        with doing(guest, "counting vCPUs"), guest.monitor() as qmp:
            return len(control.query_cpus_fast(qmp))

    def GetHotpluggablevCPUs(self, instance: objects.Instance) -> list[HotpluggableCpu]:
        """Give the free places for vCPUs, in the order in which they are taken, as QMP has them."""
        guest = self._Guest(instance)
        with doing(guest, "looking for places for vCPUs"):
            return [one for one in vcpus.places(guest) if "qom-path" not in one]

    def GetHotpluggedvCPUs(self, instance: objects.Instance) -> list[HotpluggableCpu]:
        """Give the places of vCPUs that were added since the guest's start, as QMP has them."""
        guest = self._Guest(instance)
        with doing(guest, "looking for vCPUs that were added"):
            return [one for one in vcpus.places(guest) if vcpus.was_added(one)]

    def HotAddvCPUs(self, instance: objects.Instance, amount: int) -> None:
        """Give the guest ``amount`` vCPUs more than it has."""
        self.HotModvCPUs(instance, self.GetCurrentvCPUs(instance) + int(amount))

    def HotRemovevCPUs(self, instance: objects.Instance, amount: int) -> None:
        """Refuse: no vCPU is taken from a guest that runs."""
        self._TakeNothing(instance, f"taking {amount} vCPUs")

    def EnablevCPUs(self, instance: objects.Instance) -> None:
        """Have the guest bring online the vCPUs that it was given, by the agent that runs in it.

        The instance needs ``use_guest_agent``, and its guest qemu-ga. A udev rule does without.
        """
        guest = self._Guest(instance)
        with doing(guest, "bringing vCPUs online"):
            vcpus.bring_online(guest)

    def GetCurrentMemory(self, instance: objects.Instance) -> int:
        """Tell how much memory the guest was given, in bytes; what was added is included."""
        guest = self._Guest(instance)
        with doing(guest, "looking for its memory"), guest.monitor() as qmp:
            return memory.total(qmp)

    def GetMaxMemory(self, instance: objects.Instance) -> int:
        """Tell how much memory the guest can have while it runs, in bytes."""
        guest = self._Guest(instance)
        with doing(guest, "looking for room for memory"):
            return memory.most(guest.load())

    def HotModMemory(self, instance: objects.Instance, amount: int) -> None:
        """Give the guest memory until it has ``amount`` MiB: ``HotAddMemory``."""
        self.HotAddMemory(instance, amount)

    def HotRemoveMemory(self, instance: objects.Instance, amount: int) -> None:
        """Refuse: no memory is taken from a guest that runs, but by ballooning."""
        self._TakeNothing(instance, f"taking {amount} bytes of memory")

    def _TakeNothing(self, instance: objects.Instance, what: str) -> None:
        raise errors.HotplugError(
            f"Instance {instance.name}: {what}: nothing is taken from a guest that runs. Nothing"
            f" was changed; {vcpus.AT_NEXT_START}"
        )
