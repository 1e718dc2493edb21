"""The limits of disks (`guest.disk_limits`) where disks come and go."""

from __future__ import annotations

from ganeti import errors

from ganeti_hv_kvm.hv_kvm.ganeti import boot_type, guest_options
from ganeti_hv_kvm.hv_kvm.ganeti.guest_options import Options
from ganeti_hv_kvm.hv_kvm.guest import disk_limits
from ganeti_hv_kvm.hv_kvm.guest.disk_limits import GuestLimits
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime

from .device import HotplugDevice


def _of(guest: Guest, options: Options) -> GuestLimits:
    return disk_limits.of(guest.instance.hvparams, options)


def of_new(guest: Guest, dev: HotplugDevice) -> None:
    """Let a new disk share the limits of the guest's other disks, or have its own.

    Raises:
        errors.HypervisorError: QEMU refuses.
    """
    options = guest_options.for_running(guest.instance)
    if options.has_wrong_limit:
        # in QEMU the last disk of a group says what all of it may do
        guest_options.warn(guest.name, f"a limit in them is wrong: {disk_limits.LIMITS_STAY}")
    elif limits := _of(guest, options):
        with guest.monitor() as qmp:
            disk_limits.apply(qmp, limits, [(dev.seq, dev.entry)], guest.instance.uuid)


def after_change(guest: Guest, runtime: KVMRuntime) -> None:
    """Where limits belong to disks by their numbers: let those have them that have these now.

    The disks are as they should be; what fails is only logged.
    """
    options, _ = guest_options.parse(guest_options.tags_of(guest.instance))
    limits = _of(guest, options)
    if not limits.own:
        return
    if options.has_wrong_limit:
        guest_options.warn(guest.name, f"a limit in them is wrong: {disk_limits.LIMITS_STAY}")
        return
    try:
        with guest.monitor() as qmp:
            disks = boot_type.numbered_data_disks(runtime.kvm_disks)
            disk_limits.apply(qmp, limits, disks, guest.instance.uuid)
    except errors.HypervisorError as err:
        guest_options.warn(guest.name, err)
