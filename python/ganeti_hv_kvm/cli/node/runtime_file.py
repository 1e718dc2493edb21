"""A guest's runtime file, read without Ganeti: what its QEMU was started with.

Its form is Ganeti's: a JSON list of QEMU's arguments, NICs, hypervisor parameters and disks.
`hv_kvm.kvm_runtime` reads it for Ganeti, and upgrades old ones; this shows it as it is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

_MOST_BYTES = 16 << 20
#: Elements that every generation has; the disks came later, and old files have none.
_LEAST = 3


class DamagedError(ValueError):
    """What lies there is no runtime file."""


class Disk(NamedTuple):
    """A disk: Ganeti's values of it, the path that QEMU opens, and its URI if it has one."""

    values: dict[str, object]
    path: str | None
    uri: str | None


class RuntimeFile(NamedTuple):
    """The content of a runtime file.

    Attributes:
        command: QEMU's program and arguments, without what belongs to one start alone.
        nics: Ganeti's values of each NIC.
        parameters: the hypervisor parameters at the time of the start.
        disks: the disks, in their order.
    """

    command: list[str]
    nics: list[dict[str, object]]
    parameters: dict[str, object]
    disks: list[Disk]


def read(path: Path) -> RuntimeFile | None:
    """Read the file at this path; None if there is none.

    Raises:
        DamagedError: it is no runtime file, and why.
        OSError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            text = stream.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(text) > _MOST_BYTES:
        raise DamagedError(f"{path} is damaged: it has more than {_MOST_BYTES >> 20} MiB")
    return parse(text, path)


def parse(text: bytes, path: Path) -> RuntimeFile:
    """Read the content of a runtime file; ``path`` is for the error.

    Raises:
        DamagedError: it is no runtime file, and why.
    """
    try:
        loaded = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise DamagedError(f"{path} is damaged: it is no JSON ({err})") from err
    if not isinstance(loaded, list) or len(loaded) < _LEAST:
        raise DamagedError(f"{path} is damaged: it is no list of {_LEAST} elements or more")
    command, nics, parameters = loaded[:_LEAST]
    disks = loaded[_LEAST] if len(loaded) > _LEAST else []
    if not (_is_list_of(command, (str, int, float)) and _is_list_of(nics, (dict,))):
        raise DamagedError(f"{path} is damaged: its command or its NICs are none")
    if not isinstance(parameters, dict):
        raise DamagedError(f"{path} is damaged: its parameters are none")
    if not isinstance(disks, list):
        disks = []  # the fifth element of other versions
    return RuntimeFile([str(word) for word in command], nics, parameters, _disks(disks, path))


def _disks(loaded: list[object], path: Path) -> list[Disk]:
    disks = []
    for entry in loaded:
        if (
            not isinstance(entry, list)
            or len(entry) not in (2, 3)
            or not isinstance(entry[0], dict)
        ):
            raise DamagedError(f"{path} is damaged: its disks are none")
        uri = _text(entry[2]) if len(entry) > 2 else None
        disks.append(Disk(entry[0], _text(entry[1]), uri))
    return disks


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _is_list_of(value: object, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, list) and all(isinstance(one, kinds) for one in value)
