"""The machine type that a guest was born with: found in its stored command, asked for, kept.

An alias such as "pc" means another type in each version of QEMU. Ganeti's own module stores it as
it is, so only the guest's QEMU knows which type it took.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ganeti import errors

from ganeti_hv_kvm.hv_kvm.qemu.facts import QemuFacts
from ganeti_hv_kvm.hv_kvm.qemu.verbs import control
from ganeti_hv_kvm.qmp_values.run_state import quoted

if TYPE_CHECKING:
    from ganeti_hv_kvm.hv_kvm.monitor import QmpConnection

_SWITCHES = ("-machine", "-M")
_CLASS = "-machine"  # how QEMU's classes of machines end
#: It goes into the next command line: a comma in it would begin an option of -machine, of which
#: some write files, and QEMU begins as root.
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def _place(command: Sequence[object]) -> int | None:
    """Where the value of -machine stands, if it begins with a type."""
    for place, word in enumerate(command[:-1]):
        head = str(command[place + 1]).partition(",")[0]
        if word in _SWITCHES and head and "=" not in head:
            return place + 1
    return None


def stored(command: Sequence[object]) -> str | None:
    """The type or alias in a stored command, None if there is none."""
    place = _place(command)
    return None if place is None else str(command[place]).partition(",")[0]


def keep(command: list[str] | list[object], name: str) -> None:
    """Write a type in place of the one, or the alias, that is stored."""
    place = _place(command)
    if place is not None:
        _, comma, properties = str(command[place]).partition(",")
        command[place] = name + comma + properties


def ask(qmp: QmpConnection) -> str:
    """Ask a connected QEMU for the type of its machine.

    Raises:
        errors.HypervisorError: it does not tell.
    """
    told = control.qom_get(qmp, "/machine", "type")
    name = str(told).removesuffix(_CLASS)
    if not (isinstance(told, str) and told.endswith(_CLASS) and NAME.fullmatch(name)):
        raise errors.HypervisorError(
            f"QEMU's machine is of type {quoted(told)}, which is none we know"
        )
    return name


def check(command: Sequence[object], facts: QemuFacts) -> None:
    """Look whether this QEMU has the machine of a stored command.

    Raises:
        errors.HypervisorError: it has not.
    """
    name = stored(command)
    if name and facts.lacks_machine(name):
        raise errors.HypervisorError(
            f"{facts.path} (version {facts.version[0]}) has no machine type {name}, with which the"
            " guest was started. Shut it down, and start it with another machine_version"
        )
