"""The runtime file comes to say what QEMU has.

A guest may release a device long after a removal was given up. Then the backend, the host's side
and the runtime's entry are still there, and a restart or a migration would bring the device back.
"""

from __future__ import annotations

import logging

from ganeti import errors

from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime

from . import disk, nic
from .guest import DISK, NIC, Guest, Plug, forget, model_of, plugs


def finish(guest: Guest, runtime: KVMRuntime, plug: Plug) -> None:
    """Remove all that is left of a device that the guest has no more; the runtime is not saved.

    Raises:
        errors.HypervisorError: what could not be removed; this may be called again.
    """
    if plug.dev_type == DISK:
        disk.remove_backend(guest, plug.devid)
    else:
        nic.remove_backend(guest, plug)
    forget(plug, runtime)


def reconcile(guest: Guest, runtime: KVMRuntime, except_for: str | None = None) -> list[str]:
    """Finish the removal of every device that QEMU has no more, and give their ids.

    What cannot be finished yet is logged, and stays in the runtime file for the next time.

    Args:
        except_for: the id of a device that is left alone.

    Raises:
        errors.HypervisorError: QEMU does not tell what it has, or the file cannot be written.
    """
    with guest.monitor() as qmp:
        there = qmp.device_ids()
    gone: list[str] = []
    for dev_type in (DISK, NIC):
        # From the end: the numbers of those before stay as they are.
        for plug in reversed(_missing(guest, runtime, dev_type, there)):
            if plug.devid == except_for:
                continue
            try:
                finish(guest, runtime, plug)
            except (errors.HypervisorError, OSError) as err:
                logging.warning("%s has gone from %s, but: %s", plug, guest.instance.name, err)
            else:
                logging.info("%s has gone from %s", plug, guest.instance.name)
                gone.append(plug.devid)
    if gone:
        guest.save(runtime)
    return gone


def _missing(guest: Guest, runtime: KVMRuntime, dev_type: str, there: frozenset[str]) -> list[Plug]:
    try:
        model_of(dev_type, guest.hvp(runtime))
    except errors.HotplugError:
        return []  # such devices have no id in QEMU, and cannot go
    return [
        plug
        for plug in plugs(dev_type, runtime)
        # An entry without a driver is a damaged one, and tells nothing of what the guest had.
        if {"id", "driver"} <= (plug.device.hvinfo or {}).keys() and plug.devid not in there
    ]
