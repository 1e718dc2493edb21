"""TAP devices: which belongs to which NIC, what the kernel says of it, and who has it open."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from ganeti_hv_kvm.cli.node.process import PROC

NETWORK = Path("/sys/class/net")
#: The kernel's IFF_UP, and the limit of an interface's name (IFNAMSIZ).
_UP = 0x1
_LONGEST_NAME = 15
_MOST_BYTES = 4096


class Tap(NamedTuple):
    """The host's side of a NIC.

    Attributes:
        number: of the NIC.
        name: the interface that Ganeti noted; None if it cannot be read.
        is_there: whether the kernel has such an interface.
        is_up: whether it is up.
        master: the bridge that it is in; None for none.
    """

    number: int
    name: str | None
    is_there: bool = False
    is_up: bool = False
    master: str | None = None


def of_guest(nic_directory: Path, network: Path = NETWORK) -> list[Tap]:
    """Give the TAP device of each NIC, as the files below ``nic/NAME`` say.

    Raises:
        OSError: the directory cannot be read; not if there is none.
    """
    try:
        numbers = sorted(int(name) for name in os.listdir(nic_directory) if name.isdecimal())
    except FileNotFoundError:
        return []
    return [look(number, _name(nic_directory / str(number)), network) for number in numbers]


def look(number: int, name: str | None, network: Path = NETWORK) -> Tap:
    """See what the kernel has of an interface."""
    if name is None:
        return Tap(number, None)
    here = network / name
    if not here.exists():
        return Tap(number, name)
    try:
        is_up = bool(int(_text(here / "flags"), 16) & _UP)
    except (OSError, ValueError):
        is_up = False
    try:
        master = os.path.basename(os.readlink(here / "master"))
    except OSError:
        master = None
    return Tap(number, name, True, is_up, master)


def all_names(network: Path = NETWORK) -> list[str]:
    """Name the TAP devices of this node (and TUN devices).

    Raises:
        OSError: the kernel's interfaces cannot be listed.
    """
    return sorted(name for name in os.listdir(network) if (network / name / "tun_flags").exists())


def held_by(pid: int, proc: Path = PROC) -> set[str]:
    """Name the TAP devices that a process has open.

    Raises:
        OSError: its descriptors cannot be read.
    """
    folder = proc / str(pid) / "fdinfo"
    names = set()
    for descriptor in os.listdir(folder):
        try:
            lines = _text(folder / descriptor).splitlines()
        except OSError:
            continue  # closed meanwhile
        names |= {line.split(":", 1)[1].strip() for line in lines if line.startswith("iff:")}
    return names


def _name(path: Path) -> str | None:
    try:
        name = _text(path).strip()
    except OSError:
        return None
    is_name = 0 < len(name) <= _LONGEST_NAME and "/" not in name and name not in (".", "..")
    return name if is_name else None


def _text(path: Path) -> str:
    with path.open("rb") as stream:
        return stream.read(_MOST_BYTES).decode("utf-8", "replace")
