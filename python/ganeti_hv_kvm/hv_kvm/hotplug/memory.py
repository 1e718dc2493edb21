"""More memory for a guest that runs, as far as it was started with a device for that (virtio-mem).

The guest's driver takes it, in its own time. None is taken away: less memory takes effect at the
next start. Upstream: doc/design-memory-hotplug.rst.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ganeti import errors

from ganeti_hv_kvm.hv_kvm.command_line import memory as words
from ganeti_hv_kvm.hv_kvm.command_line import memory_backing
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime
from ganeti_hv_kvm.hv_kvm.lifecycle import balloon
from ganeti_hv_kvm.hv_kvm.qemu.verbs import control, growth
from ganeti_hv_kvm.qmp_values.memory_devices import MemoryDevice
from ganeti_hv_kvm.qmp_values.run_state import quoted

from .vcpus import AT_NEXT_START

if TYPE_CHECKING:
    from ganeti_hv_kvm.hv_kvm.monitor import QmpConnection

_MOST_BYTES = 1 << 60
_SIZE_CHANGED = "MEMORY_DEVICE_SIZE_CHANGE"


def check(runtime: KVMRuntime) -> words.Room:
    """Make sure that a guest can be given memory, and tell how much it has and can have.

    Raises:
        errors.HotplugError: it cannot.
    """
    room = words.room_of(runtime.kvm_cmd)
    if room is None:
        raise errors.HotplugError(
            "the guest was started without a device for more memory (memory_hotplug_method)."
            f" Nothing was changed; {AT_NEXT_START}"
        )
    return room


def most(runtime: KVMRuntime) -> int:
    """Tell how much memory a guest can have while it runs, in bytes.

    Raises:
        errors.HypervisorError: its command does not say how much it was started with.
    """
    room = words.room_of(runtime.kvm_cmd)
    if room is None:
        return memory_backing.mebibytes(runtime.kvm_cmd) * balloon.MIB
    return (room.start + room.more) * balloon.MIB


def total(qmp: QmpConnection) -> int:
    """Tell how much memory a connected QEMU gave its guest, in bytes.

    Raises:
        errors.HypervisorError: it does not tell.
    """
    told = growth.query_memory_size_summary(qmp)
    sizes = [told.get("base-memory"), told.get("plugged-memory", 0)]
    if not all(type(size) is int and 0 <= size <= _MOST_BYTES for size in sizes):
        raise errors.HypervisorError(
            f"QEMU tells of memory that cannot be: {quoted(str(told)[:200])}"
        )
    return sum(sizes)


def verify(guest: Guest, runtime: KVMRuntime, wanted: int | None = None) -> None:
    """Check that a guest can be given memory, up to ``wanted`` MiB in all.

    Raises:
        errors.HotplugError: why it cannot.
    """
    room = check(runtime)
    with guest.monitor() as qmp:
        device = _device(qmp)
    if wanted is not None:
        _check_size(room, device, wanted)


def _device(qmp: QmpConnection) -> MemoryDevice:
    """The guest's device for more memory, in a connected QEMU."""
    for device in growth.query_memory_devices(qmp):
        if device.devid == words.DEVID:
            return device
    raise errors.HotplugError(
        f"QEMU has no device {words.DEVID}, which the guest's runtime file names. Nothing was"
        f" changed; {AT_NEXT_START}"
    )


def _check_size(room: words.Room, device: MemoryDevice, wanted: int) -> None:
    has = room.start + device.requested // balloon.MIB
    most = room.start + device.most // balloon.MIB
    if not has <= wanted <= most:
        raise errors.HotplugError(
            f"the guest has {has} MiB of memory, and can have up to {most} MiB while it runs, but"
            f" not {wanted} MiB. Nothing was changed; {AT_NEXT_START}"
        )


def grow(
    guest: Guest,
    runtime: KVMRuntime,
    wanted: int,
    *,
    patience: float = balloon.PATIENCE,
    limit: float = balloon.LIMIT,
) -> None:
    """Ask the guest to have ``wanted`` MiB in all, and wait until it does.

    Args:
        patience: seconds that the guest may show no progress.
        limit: seconds in all.

    Raises:
        errors.HotplugError: it cannot have so much, or has more, and nothing was changed; or it is
            not there by then. The wish stands then, and the guest may still follow it.
    """
    room = check(runtime)
    with guest.monitor() as qmp:
        device = _device(qmp)
        _check_size(room, device, wanted)
        goal = (wanted - room.start) * balloon.MIB
        if goal != device.requested:
            growth.request_memory(qmp, words.DEVID, goal)
        state = control.query_status(qmp)
        size = balloon.wait(
            qmp,
            _SIZE_CHANGED,
            lambda: _device(qmp).size,
            goal,
            patience=patience if state.is_running else 0.0,
            limit=limit,
        )
    if size == goal:
        logging.info("%s has %d MiB of memory", guest.name, wanted)
        return
    why = f"it {state.words}" if not state.is_running else "it has no virtio-mem driver, or is busy"
    raise errors.HotplugError(
        f"the guest was asked to have {wanted} MiB, but has {room.start + size // balloon.MIB} MiB:"
        f" {why}. The wish stands, and the guest may still follow it"
    )
