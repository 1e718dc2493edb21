"""Can devices come and go in this guest?"""

from __future__ import annotations

from ganeti import constants, errors

from ganeti_hv_kvm.errors import QmpError

from .guest import DISK, NIC, Guest, check_guest_is_told, model_of

# The first QEMU whose commands let a descriptor travel along.
_FIRST_VERSION = (1, 7, 0)


def verify(guest: Guest, action: str, dev_type: str) -> None:
    """Check that one kind of change is possible: the model of the device, QEMU's commands.

    Raises:
        errors.HotplugError: why not.
    """
    with guest.doing(f"{action} of a {dev_type.lower()} while it runs"):
        hvp = guest.hvp(guest.load())
        model_of(dev_type, hvp)
        if action == constants.HOTPLUG_ACTION_REMOVE:
            check_guest_is_told(dev_type, hvp)
        if action == constants.HOTPLUG_ACTION_ADD:
            with guest.monitor() as qmp:
                if dev_type == DISK:
                    qmp.CheckDiskHotAddSupport()
                elif dev_type == NIC:
                    qmp.CheckNicHotAddSupport()


def verify_in_general(guest: Guest) -> None:
    """Check that the instance runs, and that its QEMU can do it at all.

    Raises:
        errors.HotplugError: why not.
    """
    name = guest.instance.name
    try:
        with guest.monitor() as qmp:
            version = qmp.version
    except QmpError as err:
        raise errors.HotplugError(f"Instance {name} is down, or its QEMU is: {err}") from err
    if version < _FIRST_VERSION:
        raise errors.HotplugError(
            f"Instance {name} runs on QEMU {'.'.join(map(str, version))}, which cannot be given"
            " devices while it runs"
        )
