"""Can devices come and go in this guest?"""

from __future__ import annotations

from ganeti import constants, errors

from ganeti_hv_kvm.errors import QmpError
from ganeti_hv_kvm.hv_kvm.ganeti import generation
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.qemu.verbs import devices

from . import memory, vcpus
from .device import DISK, NIC, check_guest_is_told, doing, model_of

# The first QEMU whose commands let a descriptor travel along.
_FIRST_VERSION = (1, 7, 0)


def verify(guest: Guest, action: str, dev_type: str) -> None:
    """Check that one kind of change is possible: the model of the device, QEMU's commands.

    Raises:
        errors.HotplugError: why not.
    """
    with doing(guest, f"{action} of a {dev_type.lower()} while it runs"):
        if dev_type in grows():
            _verify_growth(guest, action, dev_type)
            return
        hvp = guest.hvp(guest.load())
        model_of(dev_type, hvp)
        if action == constants.HOTPLUG_ACTION_REMOVE:
            check_guest_is_told(dev_type, hvp)
        if action == constants.HOTPLUG_ACTION_ADD:
            with guest.monitor() as qmp:
                if dev_type == DISK:
                    devices.check_commands(qmp, "disk", devices.DISK_NEEDS)
                elif dev_type == NIC:
                    devices.check_commands(qmp, "NIC", devices.NIC_NEEDS)


def grows() -> frozenset[str]:
    """What this Ganeti hot-plugs beside disks and NICs: vCPUs, memory."""
    return frozenset(filter(None, (generation.VCPU_TARGET, generation.MEMORY_TARGET)))


def _verify_growth(guest: Guest, action: str, dev_type: str) -> None:
    if action == constants.HOTPLUG_ACTION_REMOVE:
        raise errors.HotplugError(
            f"no {dev_type} is taken from a guest that runs. Nothing was changed;"
            f" {vcpus.AT_NEXT_START}"
        )
    target = vcpus if dev_type == generation.VCPU_TARGET else memory
    target.verify(guest, guest.load())


def verify_in_general(guest: Guest) -> None:
    """Check that the instance runs, and that its QEMU can do it at all.

    Raises:
        errors.HotplugError: why not.
    """
    name = guest.name
    try:
        with guest.monitor() as qmp:
            version = qmp.version
    except QmpError as err:
        raise errors.HotplugError(f"Instance {name} is down, or its QEMU is: {err}") from err
    if version is None:
        raise errors.HotplugError(
            f"Instance {name}: its QEMU does not tell its version, so it is not known whether it"
            " can be given devices while it runs. Nothing was done"
        )
    if version < _FIRST_VERSION:
        raise errors.HotplugError(
            f"Instance {name} runs on QEMU {'.'.join(map(str, version))}, which cannot be given"
            " devices while it runs"
        )
