"""Changing a NIC of a running guest: another one takes its place.

QEMU cannot move a NIC to another TAP device. So the guest lets go of the old NIC and is given the
new one; all that can fail on the host is done before it is asked.
"""

from __future__ import annotations

import logging

from ganeti import errors, objects

from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.host import nic_mtu
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime

from . import nic, operations
from .device import NIC, HotplugDevice, doing, find, has
from .reconcile import finish, reconcile


def modify(guest: Guest, dev_type: str, device: objects.NIC, seq: int) -> None:
    """Replace a NIC by one with other parameters, at the same place; disks have none to change.

    A guest that lost its old NIC, because an earlier change could neither be made nor undone, is
    given the new one.

    Args:
        dev_type, device, seq: as for `operations.add`; the old NIC is found by the uuid.

    Raises:
        errors.HotplugError: the guest has its old NIC, or the error says that it has none. Either
            way this can be called again.
    """
    if dev_type != NIC:
        return
    new = HotplugDevice(NIC, device, seq)
    with doing(guest, f"changing {new}"):
        runtime = guest.load()
        if not has(new, runtime):
            logging.warning("%s has no %s to be changed: it is added", guest.name, new)
            operations.add(guest, NIC, device, None, seq)
            return
        old = find(new, runtime)
        operations.check_removable(guest, runtime, old)
        reconcile(guest, runtime, except_for=old.devid)
        given, hvinfo = device.hvinfo, dict(old.device.hvinfo)
        # to the guest it is a new one: it has the MTU of the network that it is in now
        hvinfo.pop(nic_mtu.PROPERTY, None)
        device.hvinfo = hvinfo
        device.hvinfo = {**hvinfo, **nic.mtu_at_birth(guest, new)}
        try:
            _replace(guest, runtime, old, new)
        except BaseException:
            device.hvinfo = given
            raise


def _replace(guest: Guest, runtime: KVMRuntime, old: HotplugDevice, new: HotplugDevice) -> None:
    has_let_go = False
    try:
        with nic.prepared(guest, runtime, new) as ready:
            operations.release(guest, old.devid)
            has_let_go = True
            finish(guest, runtime, old)
            operations.plug_in(guest, runtime, new, ready)
    except BaseException as err:
        if not has_let_go:
            nic.set_up_again(guest, old)
            raise
        if not isinstance(err, errors.HypervisorError | OSError):
            raise
        raise errors.HotplugError(f"{err}; {_give_back(guest, old)}") from err


def _give_back(guest: Guest, old: HotplugDevice) -> str:
    """Let the guest have its old NIC, and tell whether it has."""
    try:
        operations.add(guest, NIC, old.device, None, old.seq)
    except errors.HypervisorError as err:
        return (
            "the old NIC could not be given back, and the guest is without it; the change can be"
            f" tried again: {err}"
        )
    return "the guest was given its old NIC back"
