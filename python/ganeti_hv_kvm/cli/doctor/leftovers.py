"""Files of guests that do not run here, and such as contradict each other.

Only what nobody can need goes by ``--fix``: the pid file and the sockets of a QEMU that is gone for
certain, older than a minute, each looked at again before it is removed. The runtime file, the NIC
files and the record of a user's shutdown are Ganeti's to remove: its clean-up tells the network by
them, and its listing.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from shlex import quote

from ganeti_hv_kvm.cli.doctor.diagnosis import Diagnosis, RefusedError, Step
from ganeti_hv_kvm.cli.frame.finding import note, trouble, unknown
from ganeti_hv_kvm.cli.frame.output import quoted
from ganeti_hv_kvm.cli.node import look, taps
from ganeti_hv_kvm.cli.node.guests import LocalGuest, is_there
from ganeti_hv_kvm.cli.node.look import Look
from ganeti_hv_kvm.cli.node.taps import NETWORK

#: Seconds: a guest that starts has made some of its files, and has no process yet.
YOUNGEST = 60.0
_SOCKETS = (".qmp", ".kvmd", ".monitor", ".serial", ".qga")
#: Interfaces that Ganeti names itself; others got their name from the kernel.
_OF_GANETI = "gnt.com."


def diagnoses(looks: Iterable[Look], youngest: float = YOUNGEST) -> Iterator[Diagnosis]:
    """Look at the files of each guest.

    Args:
        looks: at all that have files here.
        youngest: seconds; what is younger is left alone.
    """
    for one in looks:
        if one.doubt is not None:
            yield Diagnosis(
                unknown(
                    "files",
                    f"{quoted(one.guest.name)}: it cannot be told whether its QEMU runs:"
                    f" {quoted(one.doubt)}; its files are left",
                    "lslocks -u -o PID,COMMAND,PATH",
                    "ss -xlp",
                )
            )
        elif one.pid is None:
            yield from _of_gone(one.guest, youngest)
        else:
            yield from _of_running(one.guest, one.pid)


def _of_gone(guest: LocalGuest, youngest: float) -> Iterator[Diagnosis]:
    name = quote(guest.name)
    stale = [path for path in _removable(guest) if _is_there(path)]
    if is_there(guest.shutdown):
        yield Diagnosis(
            note(
                "files",
                f"{quoted(guest.name)} was shut down by its user; Ganeti's watcher cleans up",
            )
        )
        return
    if stale:
        old = [path for path in stale if _age(path) >= youngest]
        steps = tuple(_removal(guest, path, youngest) for path in old)
        waits = "" if len(old) == len(stale) else "; some are young, and may be of a start"
        yield Diagnosis(
            trouble(
                "files",
                f"{quoted(guest.name)} does not run here, and left {_listed(guest, stale)}{waits}",
                "ganeti-hv-kvm doctor --fix",
            ),
            steps,
        )
    if is_there(guest.runtime):
        yield Diagnosis(
            note(
                "files",
                f"{quoted(guest.name)} does not run here, and {guest.runtime} says that it was"
                " started: it went down by itself, or was ended",
                f"gnt-instance list -o name,status,pnode {name}",
                f"gnt-instance start {name}",
            )
        )


def _of_running(guest: LocalGuest, pid: int) -> Iterator[Diagnosis]:
    said = _number_in(guest.pidfile)
    if said is not None and said != pid:
        yield Diagnosis(
            note(
                "files",
                f"{quoted(guest.name)}: {guest.pidfile} says process {said}, and the kernel says"
                f" {pid}, which holds its lock or its monitor: the kernel is believed",
            )
        )
    if not is_there(guest.runtime):
        yield Diagnosis(
            trouble(
                "files",
                f"{quoted(guest.name)} runs (process {pid}) and has no runtime file: it can be"
                " shut down, not moved or changed",
                f"gnt-instance reboot --type=full {quote(guest.name)}",
            )
        )
    if not is_there(guest.qmp):
        yield Diagnosis(
            trouble(
                "files",
                f"{quoted(guest.name)} runs (process {pid}), and its monitor's socket {guest.qmp}"
                " is gone: it cannot be asked any more",
                f"gnt-instance shutdown --force {quote(guest.name)}",
            )
        )


def lonely_taps(
    guests: Iterable[LocalGuest], held: dict[str, list[int]], network: Path = NETWORK
) -> Iterator[Diagnosis]:
    """Find TAP devices that Ganeti noted for a guest, or named, and that nobody has open.

    Args:
        guests: all that have files here.
        held: by name of the interface, who has it open.
        network: where the kernel shows interfaces.
    """
    noted: dict[str, str] = {}
    for guest in guests:
        for tap in taps.of_guest(guest.nics, network):
            if tap.name is not None and tap.is_there:
                noted[tap.name] = guest.name
    for name in taps.all_names(network):
        if held.get(name) or not (name in noted or name.startswith(_OF_GANETI)):
            continue
        whose = f" was of {quoted(noted[name])}, and" if name in noted else ""
        yield Diagnosis(
            trouble(
                "TAP",
                f"{name}{whose} stays without a guest: no process has it open",
                f"ip link delete {quote(name)}",
            )
        )


def _removable(guest: LocalGuest) -> list[Path]:
    control = guest.run_directory / "ctrl"
    return [guest.pidfile, *(control / f"{guest.name}{suffix}" for suffix in _SOCKETS)]


def _listed(guest: LocalGuest, stale: list[Path]) -> str:
    names = (quoted(str(path.relative_to(guest.run_directory))) for path in stale)
    return f"in {guest.run_directory}: {', '.join(names)}"


def _removal(guest: LocalGuest, path: Path, youngest: float) -> Step:
    def carry_out() -> None:
        if _age(path) < youngest:
            raise RefusedError(f"{path} is new: it is left")
        found = look.find(guest)
        if found.doubt is not None:
            raise RefusedError(f"it cannot be told whether {guest.name} runs: {found.doubt}")
        if found.pid is not None:
            raise RefusedError(f"{guest.name} runs now, process {found.pid}")
        path.unlink()

    return Step(f"remove {quoted(str(path))}", carry_out)


def _is_there(path: Path) -> bool:
    """Only what QEMU makes: a file or a socket. A directory in its place is not ours."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) or stat.S_ISSOCK(mode)


def _age(path: Path) -> float:
    """Seconds since it was written; 0 where that cannot be told."""
    try:
        return time.time() - path.lstat().st_mtime
    except OSError:
        return 0.0


def _number_in(path: Path) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as stream:
            text = stream.read(64).strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and len(text) < 20 else None
