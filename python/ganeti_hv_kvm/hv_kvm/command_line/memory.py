"""-m, and the device by which a guest gets more memory while it runs (memory_hotplug_method).

Upstream's design (doc/design-memory-hotplug.rst) gives a guest one virtio-mem device at its start,
which is empty then. The stored words have its id, size and block size; how much of it the guest is
asked to have is said at each execution, by the instance's memory of today.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from ganeti import constants

from ganeti_hv_kvm.hv_kvm.devices.description import Device
from ganeti_hv_kvm.hv_kvm.ganeti import generation
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import number

from . import memory_backing
from .option import properties
from .request import Completion, StartRequest

#: The values of memory_hotplug_method.
NONE, VIRTIO_MEM = "none", "virtio-mem"

#: MiB that a guest can be given beyond those of its start; upstream's name and value.
KVM_VIRTIO_MEM_MAX_SIZE = 65536

#: Of the device, and of the memory behind it.
DEVID = "vmem0"
DRIVER = "virtio-mem-pci"
_BLOCK_SIZE = "1M"

_OWN_DEVICE = re.compile(rf"{DRIVER}\b(?=.*,id={DEVID}\b)")
_OWN_BACKEND = re.compile(rf"memory-backend-\w+,id={DEVID},size=(?P<size>\d+)M\b")


class Room(NamedTuple):
    """MiB that a guest was started with, and that it can have beyond them."""

    start: int
    more: int

    def requested(self, memory: int) -> int:
        """MiB to be asked of the device for a guest of ``memory`` MiB in all."""
        return min(max(0, memory - self.start), self.more)


def is_wanted(hvp: Mapping[str, object]) -> bool:
    """Whether a guest with these parameters is to have the device."""
    return generation.MEMORY_METHOD is not None and (
        hvp.get(generation.MEMORY_METHOD) == VIRTIO_MEM
    )


def size(request: StartRequest) -> list[str]:
    """-m: the most memory the guest may get at first, in MiB; ballooning takes the rest away."""
    at_start = number(request.instance.beparams, constants.BE_MAXMEM)
    if not is_wanted(request.hvp):
        return ["-m", str(at_start)]
    # QEMU has no memory devices without it
    return ["-m", properties(str(at_start), ("maxmem", f"{at_start + KVM_VIRTIO_MEM_MAX_SIZE}M"))]


def device(place: Mapping[str, object]) -> list[str]:
    """The stored words of the device.

    Args:
        place: its bus and address, as properties of -device.
    """
    backend = properties(
        "memory-backend-ram",
        ("id", DEVID),
        ("size", f"{KVM_VIRTIO_MEM_MAX_SIZE}M"),
        # the node's memory is taken when the guest takes it
        ("reserve", "off"),
        ("dump", "off"),
    )
    own = {"driver": DRIVER, "id": DEVID, "memdev": DEVID, "block-size": _BLOCK_SIZE}
    return ["-object", backend, "-device", Device({**own, **place}).as_argument()]


def room_of(command: Sequence[object]) -> Room | None:
    """Read out of a stored command what its guest can have; None if it has no such device."""
    for switch, value in pairwise(map(str, command)):
        if switch == "-object" and (found := _OWN_BACKEND.match(value)):
            return Room(memory_backing.mebibytes(command), int(found["size"]))
    return None


def with_request(command: list[str], completion: Completion) -> list[str]:
    """A command whose device says how much of it the guest is asked to have."""
    room = room_of(command)
    if room is None:
        return command
    wanted = completion.memory or number(completion.instance.beparams, constants.BE_MAXMEM)
    words = f",requested-size={room.requested(wanted)}M"
    return [
        value + words if switch == "-device" and _OWN_DEVICE.match(value) else value
        for switch, value in pairwise(["", *command])
    ]
