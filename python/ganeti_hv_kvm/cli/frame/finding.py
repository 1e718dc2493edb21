"""One thing that was found, and what an operator does next."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from ganeti_hv_kvm.cli.frame import exit_status, output


class Level(enum.Enum):
    """How a finding is to be taken."""

    #: as it should be
    WELL = "well"
    #: worth knowing, nothing is wrong
    NOTE = "note"
    #: something is wrong
    TROUBLE = "trouble"
    #: whether something is wrong cannot be told; never acted on
    UNKNOWN = "cannot tell"


class Finding(NamedTuple):
    """What was found.

    Attributes:
        level: how it is to be taken.
        about: one word or two for what it is about: "process", "monitor", "disk".
        text: one sentence without its full stop; what others wrote is quoted already.
        advice: the next commands, ready for a shell, or sentences where there is no command.
    """

    level: Level
    about: str
    text: str
    advice: tuple[str, ...] = ()

    @property
    def is_well(self) -> bool:
        """Whether nobody has to do anything."""
        return self.level in (Level.WELL, Level.NOTE)

    def as_json(self) -> dict[str, object]:
        """Give it for programs."""
        return {
            "level": self.level.value,
            "about": self.about,
            "text": self.text,
            "advice": list(self.advice),
        }


def well(about: str, text: str) -> Finding:
    """It is as it should be."""
    return Finding(Level.WELL, about, text)


def note(about: str, text: str, *advice: str) -> Finding:
    """It is worth knowing."""
    return Finding(Level.NOTE, about, text, advice)


def trouble(about: str, text: str, *advice: str) -> Finding:
    """It is wrong."""
    return Finding(Level.TROUBLE, about, text, advice)


def unknown(about: str, text: str, *advice: str) -> Finding:
    """It cannot be told."""
    return Finding(Level.UNKNOWN, about, text, advice)


#: In this order they are shown.
_ORDER = (Level.TROUBLE, Level.UNKNOWN, Level.NOTE, Level.WELL)
_COLOURS = {Level.TROUBLE: output.RED, Level.UNKNOWN: output.YELLOW, Level.WELL: output.GREEN}
_SIGNS = {Level.TROUBLE: "!!", Level.UNKNOWN: "??", Level.NOTE: "--", Level.WELL: "ok"}


def status_of(findings: Iterable[Finding]) -> int:
    """Give the exit status: whether all is well."""
    is_well = all(one.is_well for one in findings)
    return exit_status.WELL if is_well else exit_status.WRONG


def summary(findings: Iterable[Finding]) -> str:
    """Say how many of them need somebody."""
    levels = Counter(one.level for one in findings)
    parts = []
    if wrong := levels[Level.TROUBLE]:
        parts.append(f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong")
    if doubts := levels[Level.UNKNOWN]:
        parts.append(f"{doubts} {'thing' if doubts == 1 else 'things'} cannot be told")
    if not parts:
        parts.append("nothing is wrong")
        if notes := levels[Level.NOTE]:
            parts.append(f"{notes} {'thing is' if notes == 1 else 'things are'} worth knowing")
    return ", ".join(parts)


def lines(findings: Iterable[Finding]) -> list[str]:
    """Give them as lines of text, trouble first; below each the next commands, behind a ``>``."""
    kept = list(findings)
    width = max((len(one.about) for one in kept), default=0)
    told = []
    for one in sorted(kept, key=lambda one: _ORDER.index(one.level)):
        sign = output.painted(_SIGNS[one.level], _COLOURS.get(one.level, output.DIM))
        told.append(f"{sign} {one.about:<{width}}  {output.quoted(one.text)}")
        told += [f"   {'':<{width}}  > {output.quoted(command)}" for command in one.advice]
    return told
