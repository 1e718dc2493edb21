"""The demo's hot-plug: the running guest gets a disk and a NIC, and gives them back."""

from __future__ import annotations

import re
from typing import Any

from harness import console, guest, instance, node

from .timeline import Timeline

_SEEN_WITHIN = 60.0


def come_and_go(
    timeline: Timeline, place: node.Node, running: Any, serial: console.SerialConsole
) -> None:
    """Hot-adds a disk and a NIC and removes them; what the guest's own console says is shown."""
    from ganeti import constants

    disk, link, uri = instance.disk(place.root, 1, mebibytes=32)
    nic = instance.nic(1)
    kinds = (
        (constants.HOTPLUG_TARGET_DISK, "disk", disk, (link, uri), r"vdb:32MiB"),
        (constants.HOTPLUG_TARGET_NIC, "NIC", nic, None, re.escape(nic.mac)),
    )
    for kind, name, device, extra, sign in kinds:
        with timeline.step(f"HotAddDevice, a {name}") as say:
            place.hypervisor().HotAddDevice(running, kind, device, extra, 1)
            say.append(f"serial console: {_wait(serial, sign, there=True)}")
    for kind, name, device, extra, sign in reversed(kinds):
        with timeline.step(f"HotDelDevice, the {name}") as say:
            place.hypervisor().HotDelDevice(running, kind, device, extra, 1)
            say.append(f"serial console: {_wait(serial, sign, there=False)}")


def _wait(serial: console.SerialConsole, sign: str, *, there: bool) -> str:
    """The guest's next line that has, or has not, the sign of the device."""

    def fits(line: str) -> bool:
        is_status = guest.STATUS_LINE.search(line) is not None
        return is_status and (re.search(sign, line) is not None) == there

    return serial.wait_for(fits, _SEEN_WITHIN)
