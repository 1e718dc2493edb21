"""Findings about a guest's NICs: the TAP device of each, its bridge, and the node's script."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from ganeti_hv_kvm.cli.frame.finding import Finding, trouble, unknown
from ganeti_hv_kvm.cli.frame.output import quoted
from ganeti_hv_kvm.cli.node import taps
from ganeti_hv_kvm.cli.node.inquiry import Inquiry
from ganeti_hv_kvm.cli.node.patience import OutOfPatienceError, within
from ganeti_hv_kvm.cli.node.taps import NETWORK, Tap

_ABOUT = "NIC"
_FOR_THE_KERNEL = 0.5
#: Ganeti's script that puts a TAP device into its network: Debian's place, and upstream's.
SCRIPTS = (Path("/usr/lib/ganeti/kvm-ifup"), Path("/usr/local/lib/ganeti/kvm-ifup"))


def findings(found: Inquiry, network: Path = NETWORK) -> Iterator[Finding]:
    """Say what is to be said of the NICs; nothing of one that does not run, or has none."""
    if found.pid is None or found.runtime is None or not found.runtime.nics:
        return
    pid = found.pid
    try:
        there = {one.number: one for one in taps.of_guest(found.guest.nics, network)}
        held = within(_FOR_THE_KERNEL, lambda: taps.held_by(pid))
    except (OSError, OutOfPatienceError) as err:
        yield unknown(_ABOUT, f"its TAP devices cannot be told: {quoted(str(err))}")
        return
    for number, nic in enumerate(found.runtime.nics):
        yield from _one(found, number, nic, there.get(number), held)
    yield from _script()


def _one(
    found: Inquiry, number: int, nic: dict[str, object], tap: Tap | None, held: set[str]
) -> Iterator[Finding]:
    name = quote(found.guest.name)
    who = f"{number} ({quoted(str(nic.get('mac', '?')))})"
    again = f"gnt-instance reboot {name}"
    if tap is None or tap.name is None:
        yield trouble(
            _ABOUT,
            f"{who}: no file in {found.guest.nics} says which TAP device it has; it works as long"
            " as the guest is not moved",
            again,
        )
        return
    shown = quote(tap.name)
    if not tap.is_there:
        yield trouble(
            _ABOUT, f"{who}: this node has no interface {shown}: the guest is cut off", again
        )
        return
    if tap.name not in held:
        yield trouble(
            _ABOUT,
            f"{who}: its QEMU does not have {shown} open: the guest is cut off, or the number is"
            " another guest's",
            "grep -l ^iff: /proc/[0-9]*/fdinfo/*",
            again,
        )
        return
    if not tap.is_up:
        yield trouble(
            _ABOUT,
            f"{who}: {shown} is down: the node's network script did not get to its end",
            f"ip link set {shown} up",
        )
    yield from _bridge(who, nic, tap)


def _bridge(who: str, nic: dict[str, object], tap: Tap) -> Iterator[Finding]:
    parameters = nic.get("nicparams")
    if not isinstance(parameters, dict) or parameters.get("mode") != "bridged":
        return
    wanted = parameters.get("link")
    if isinstance(wanted, str) and wanted and tap.master != wanted:
        shown = quote(tap.name or "")
        yield trouble(
            _ABOUT,
            f"{who}: {shown} is in {f'bridge {quoted(tap.master)}' if tap.master else 'no bridge'},"
            f" and the runtime file says bridge {quoted(wanted)}",
            f"ip link set {shown} master {quote(wanted)}",
        )


def _script() -> Iterator[Finding]:
    there = [path for path in SCRIPTS if path.exists()]
    for path in there:
        if not os.access(path, os.X_OK):
            yield trouble(
                _ABOUT,
                f"the network script {path} is no program: a start, a hot-plug and a migration to"
                " here will fail",
                f"chmod 755 {path}",
            )
    if not there:
        yield trouble(
            _ABOUT,
            f"there is no network script ({SCRIPTS[0]}): a start, a hot-plug and a migration to"
            " here will fail",
            "apt install --reinstall ganeti",
        )
