"""More vCPUs for a guest that runs, as far as it was started with room for them.

The guest's operating system brings a new vCPU online, not Ganeti (Linux: a udev rule). None is
taken away: a smaller number takes effect at the next start. Upstream: doc/design-vcpu-hotplug.rst.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.command_line import vcpus as words
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime
from ganeti_hv_kvm.hv_kvm.qemu.guest_agent import GuestAgent
from ganeti_hv_kvm.hv_kvm.qemu.verbs import control, growth
from ganeti_hv_kvm.hv_kvm.qemu.verbs.growth import VcpuPlace, read_place

if TYPE_CHECKING:
    from ganeti_hv_kvm.hv_kvm.monitor import QmpConnection
    from ganeti_hv_kvm.qmp_values.replies import HotpluggableCpu

#: Seconds that a guest may take to bring its vCPUs online: as long as for an unplug.
_PATIENCE = 30.0
_BY_ITSELF = "Nothing was changed on this node; a udev rule in the guest does it, too"
# A guest sees a new vCPU some time after QEMU has it.
_PAUSE = 0.2

#: What an error adds: Ganeti keeps the wish in its configuration.
AT_NEXT_START = (
    "what Ganeti has in its configuration takes effect when the instance is next started"
)


def update(guest: Guest, runtime: KVMRuntime) -> bool:
    """Let a runtime say which vCPUs its guest was given; tell whether that changed it.

    Raises:
        errors.HypervisorError: QEMU does not tell which it has.
    """
    if words.maximum_of(runtime.kvm_cmd) is None:
        return False
    with guest.monitor() as qmp:
        return words.keep_added(runtime.kvm_cmd, _added(growth.vcpu_places(qmp)))


def _added(places: list[VcpuPlace]) -> list[dict[str, object]]:
    return [one.device for one in places if _is_added(one)]


def _is_added(place: VcpuPlace) -> bool:
    return bool(place.added_as and words.ADDED.fullmatch(place.added_as))


def check(guest: Guest, runtime: KVMRuntime) -> int:
    """Make sure that a guest can be given vCPUs, and tell how many it may have.

    Raises:
        errors.HotplugError: why it cannot.
    """
    pinned = guest.instance.hvparams.get(constants.HV_CPU_MASK) or constants.CPU_PINNING_ALL
    if pinned != constants.CPU_PINNING_ALL:
        raise errors.HotplugError(
            f"{constants.HV_CPU_MASK} is '{pinned}', and does not say where more vCPUs belong."
            f" Nothing was changed; {AT_NEXT_START}"
        )
    maximum = words.maximum_of(runtime.kvm_cmd)
    if maximum is None:
        raise errors.HotplugError(
            f"the guest was started without room for more vCPUs{_why(guest.hvp(runtime))}. Nothing"
            f" was changed; {AT_NEXT_START}"
        )
    return maximum


def _why(hvp: dict[str, object]) -> str:
    """Say what of a guest's parameters keeps it from having room."""
    reasons = [
        "its ACPI is off" if not hvp.get(constants.HV_ACPI) else "",
        f"its {constants.HV_CPU_MASK} pins them"
        if hvp.get(constants.HV_CPU_MASK) not in (None, "", constants.CPU_PINNING_ALL)
        else "",
        f"its {constants.HV_KVM_EXTRA} has an -smp of its own"
        if "-smp" in str(hvp.get(constants.HV_KVM_EXTRA))
        else "",
    ]
    said = ", ".join(filter(None, reasons))
    return f": {said}" if said else ", by a Ganeti that gave none"


def verify(guest: Guest, runtime: KVMRuntime, wanted: int | None = None) -> None:
    """Check that a guest can be given vCPUs, up to ``wanted`` in all.

    Raises:
        errors.HotplugError: why it cannot.
    """
    maximum = check(guest, runtime)
    if wanted is not None and wanted > maximum:
        raise errors.HotplugError(
            f"the guest was started with room for {maximum} vCPUs, {wanted} are wanted. Nothing was"
            f" changed; {AT_NEXT_START}"
        )
    with guest.monitor() as qmp:
        growth.vcpu_places(qmp)


def grow(guest: Guest, runtime: KVMRuntime, wanted: int) -> None:
    """Give the guest vCPUs until it has ``wanted``; one that has as many, or more, is left alone.

    Each is in the runtime file before the next is given.

    Args:
        runtime: what the guest has, up to date.

    Raises:
        errors.HotplugError: it has no room for them, and nothing was changed.
        errors.HypervisorError: QEMU refused one; those before it are there to stay.
    """
    with guest.monitor() as qmp:
        have = len(control.query_cpus_fast(qmp))
    if wanted <= have:
        logging.info("%s has %d vCPUs: %d need no hot-plug", guest.name, have, wanted)
        return
    verify(guest, runtime, wanted)
    with guest.monitor() as qmp:
        free = [place for place in growth.vcpu_places(qmp) if place.qom_path is None]
        if wanted - have > len(free):
            raise errors.HotplugError(
                f"the guest has {have} vCPUs and room for {len(free)} more, {wanted} are wanted."
                f" Nothing was changed; {AT_NEXT_START}"
            )
        for number, place in enumerate(free[: wanted - have], have + 1):
            _add(guest, runtime, qmp, place, number)


def _add(
    guest: Guest, runtime: KVMRuntime, qmp: QmpConnection, place: VcpuPlace, number: int
) -> None:
    try:
        growth.add_vcpu(qmp, place)
    except errors.HypervisorError as err:
        raise errors.HypervisorError(
            f"{err}. The guest has {number - 1} vCPUs; the same call again goes on from there"
        ) from err
    try:
        words.keep_added(runtime.kvm_cmd, [*words.added(runtime.kvm_cmd), place.device])
        guest.save(runtime)
    except errors.HypervisorError as err:
        raise errors.HypervisorError(
            f"the guest has {number} vCPUs, but {guest.files.runtime} does not say so yet: {err}."
            " Make room; the next hot-plug, migration or reboot brings it up to date"
        ) from err


def places(guest: Guest) -> list[HotpluggableCpu]:
    """Give what QEMU tells of all places for vCPUs, in the order in which they are taken.

    Raises:
        errors.HypervisorError: it does not tell.
    """
    with guest.monitor() as qmp:
        told = growth.query_hotpluggable_cpus(qmp)
    return sorted(told, key=lambda entry: read_place(entry).order)


def was_added(entry: HotpluggableCpu) -> bool:
    """Tell whether a place, as QEMU tells of it, has a vCPU that was added while the guest runs."""
    return _is_added(read_place(entry))


def bring_online(guest: Guest, patience: float = _PATIENCE) -> None:
    """Have the guest's agent bring all vCPUs online that the guest was given.

    Args:
        patience: seconds that the guest may take.

    Raises:
        errors.HypervisorError: some are not online by then; the guest has them, and its agent can
            be asked again.
    """
    with guest.monitor() as qmp:
        have = len(control.query_cpus_fast(qmp))
    if not os.path.exists(guest.files.qga):
        raise errors.HotplugError(
            f"the guest was started without a guest agent ({constants.HV_USE_GUEST_AGENT})."
            f" {_BY_ITSELF}"
        )
    online = 0
    with GuestAgent(guest.files.qga, patience) as agent:
        while not agent.is_late():
            there = agent.vcpus()
            online = sum(one.online for one in there)
            if online >= have:
                logging.info("%s has its %d vCPUs online", guest.name, have)
                return
            if offline := [one.number for one in there if not one.online]:
                agent.bring_online(offline)
            time.sleep(_PAUSE)
    raise errors.HotplugError(
        f"the guest was given {have} vCPUs, and has {online} online after {patience:g} s."
        f" {_BY_ITSELF}"
    )
