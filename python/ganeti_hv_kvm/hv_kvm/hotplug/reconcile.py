"""The runtime file comes to say what QEMU has.

A guest may release a device long after a removal was given up. Then the backend, the host's side
and the runtime's entry are still there, and a restart or a migration would bring the device back.
"""

from __future__ import annotations

import logging

from ganeti import errors

from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime
from ganeti_hv_kvm.hv_kvm.qemu.verbs import devices

from . import disk, nic, vcpus
from .device import DISK, NIC, HotplugDevice, devices_in, forget, model_of


def finish(guest: Guest, runtime: KVMRuntime, dev: HotplugDevice) -> None:
    """Remove all that is left of a device that the guest has no more; the runtime is not saved.

    Raises:
        errors.HypervisorError: what could not be removed; this may be called again.
    """
    if dev.dev_type == DISK:
        disk.remove_backend(guest, dev.devid)
    else:
        nic.remove_backend(guest, dev)
    forget(dev, runtime)


def reconcile(guest: Guest, runtime: KVMRuntime, except_for: str | None = None) -> list[str]:
    """Finish the removal of every device that QEMU has no more, and give their ids.

    What cannot be finished yet is logged, and stays in the runtime file for the next time. The
    vCPUs that the guest was given are noted as well.

    Args:
        except_for: the id of a device that is left alone.

    Raises:
        errors.HypervisorError: QEMU does not tell what it has, or the file cannot be written.
    """
    with guest.monitor() as qmp:
        there = devices.device_ids(qmp)
    gone: list[str] = []
    for dev_type in (DISK, NIC):
        # From the end: the numbers of those before stay as they are.
        for dev in reversed(_missing(guest, runtime, dev_type, there)):
            if dev.devid == except_for:
                continue
            try:
                finish(guest, runtime, dev)
            except (errors.HypervisorError, OSError) as err:
                logging.warning("%s has gone from %s, but: %s", dev, guest.name, err)
            else:
                logging.info("%s has gone from %s", dev, guest.name)
                gone.append(dev.devid)
    if vcpus.update(guest, runtime) or gone:
        guest.save(runtime)
    return gone


def _missing(
    guest: Guest, runtime: KVMRuntime, dev_type: str, there: frozenset[str]
) -> list[HotplugDevice]:
    try:
        model_of(dev_type, guest.hvp(runtime))
    except errors.HotplugError:
        return []  # such devices have no id in QEMU, and cannot go
    return [
        dev
        for dev in devices_in(dev_type, runtime)
        # An entry without a driver is a damaged one, and tells nothing of what the guest had.
        if {"id", "driver"} <= (dev.device.hvinfo or {}).keys() and dev.devid not in there
    ]
