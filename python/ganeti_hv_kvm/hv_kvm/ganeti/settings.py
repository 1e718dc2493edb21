"""What an operator can set, for a node or for all of them: the one table of it.

A setting's text is taken from the environment of the program that uses the module, else from the
cluster's file (`settings_file`). docs/settings.md and packaging/ganeti-hv-kvm.conf are made from
this table.

A slip in the environment is an error of everything that begins to change a guest (`check`), before
anything is touched. What only looks, and what ends something that was begun before, goes on with
the default, and says so in the log. A slip in the file is told to the operator (`problems`) and
logged; everything goes on with the default.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from ganeti import constants, errors

from . import settings_file
from .hvparams import number_or_zero

_PREFIX = "GANETI_HV_KVM_"
_DAY = 86400.0
_SHOWN = 50
#: float() takes more than people write: signs, underscores, digits of other scripts.
_SECONDS = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")

_Value = TypeVar("_Value")


class Setting(Generic[_Value]):
    """One setting.

    Attributes:
        name: in the file; the variable of the environment is named after it.
        default: what holds where nobody set it, or made a slip.
        text: what it is, for the operator.
        unit: of its value, such as "s"; empty for words.
        bounds: which values it may have, in words.
    """

    def __init__(self, name: str, default: _Value, text: str, *, unit: str, bounds: str) -> None:
        self.name = name
        self.default = default
        self.text = text
        self.unit = unit
        self.bounds = bounds

    @property
    def variable(self) -> str:
        """The variable of the environment that sets it; it wins over the file."""
        return _PREFIX + self.name.upper()

    def parse(self, text: str) -> _Value:
        """Give the value that a text means.

        Raises:
            ValueError: it means none.
        """
        raise NotImplementedError

    def words(self, value: _Value) -> str:
        """Give a value as it is written in the file."""
        return str(value)

    def value(self) -> _Value:
        """Give what holds now; instead of a slip the default, and a line in the log."""
        text = os.environ.get(self.variable)
        if text is None:
            line = _content().lines.get(self.name)
            if line is None:
                return self.default
            text = line.text
        elif problem := self.problem():
            logging.warning("%s: %s it is", problem, self.words(self.default))
        try:
            return self.parse(text)
        except ValueError:
            return self.default

    def why_not(self, text: str) -> str | None:
        """Say why a text is no value of this setting; None if it is one."""
        try:
            self.parse(text)
        except ValueError:
            return f"{text[:_SHOWN]!r}, which is {self._is_none()} {self.bounds}"
        return None

    def _is_none(self) -> str:
        return "none of"

    def without_doubt(self) -> _Value:
        """Give what holds now, where a default would be less than the operator wants.

        Raises:
            errors.HypervisorError: there is a slip in this setting, or in a line that may be meant
                to be this one, or the file cannot be read.
        """
        reason = self.problem()
        if reason is None and self.variable not in os.environ:
            reason = "; ".join(settings_file.few(self._doubts(settings_file.content())))
        if reason:
            raise errors.HypervisorError(f"what {self.name} is to be cannot be told: {reason}")
        return self.value()

    def _doubts(self, content: settings_file.Content) -> Iterator[str]:
        line = content.lines.get(self.name)
        for problem in content.problems:
            # with a line of its own only what contradicts that: the setting again, or half of it
            if line is None or settings_file.speaks_of(problem, self.name):
                yield problem
        known = {setting.name for setting in ALL}
        for problem, name in _slips(content):
            if name == self.name or (name not in known and settings_file.may_mean(name, self.name)):
                yield problem

    def is_set(self) -> bool:
        """Tell whether somebody chose a value, for this node or in the file, be it with a slip."""
        return self.variable in os.environ or self.name in _content().lines

    def problem(self) -> str | None:
        """Say what is wrong with the variable; None if it is not set, or right."""
        text = os.environ.get(self.variable)
        reason = None if text is None else self.why_not(text)
        return f"{self.variable} is {reason}" if reason else None


class Seconds(Setting[float]):
    """A limit in seconds, which may have a fraction."""

    def __init__(
        self, name: str, default: float, text: str, *, least: float = 0.001, most: float = _DAY
    ) -> None:
        super().__init__(name, default, text, unit="s", bounds=f"{least:g} to {most:g}")
        self._least, self._most = least, most

    def parse(self, text: str) -> float:
        """Give the seconds; a ValueError for what is no such number, or out of bounds."""
        word = text.strip()
        if not _SECONDS.fullmatch(word) or not self._least <= float(word) <= self._most:
            raise ValueError(text)
        return float(word)

    def words(self, value: float) -> str:
        """Give the seconds without a needless fraction."""
        return f"{value:g}"

    def _is_none(self) -> str:
        return "no number of seconds from"


class Count(Setting[int]):
    """A whole number; 0 is "off" where others do not begin at 1."""

    def __init__(
        self, name: str, default: int, text: str, *, least: int = 1, most: int, unit: str = ""
    ) -> None:
        bounds = f"0 to {most}" if least == 1 else f"0 or {least} to {most}"
        super().__init__(name, default, text, unit=unit, bounds=bounds)
        self._least, self._most = least, most

    def parse(self, text: str) -> int:
        """Give the number; a ValueError for what is none, or out of bounds."""
        word = text.strip()
        # int() takes more than that too; and the rest of a long one is not nothing
        if not (word.isascii() and word.isdigit()) or len(word) > _SHOWN:
            raise ValueError(text)
        number = int(word)
        if number and not self._least <= number <= self._most:
            raise ValueError(text)
        return number

    def _is_none(self) -> str:
        return "no whole number from"


class Choice(Setting[str]):
    """One of some words."""

    def __init__(self, name: str, default: str, text: str, *, choices: tuple[str, ...]) -> None:
        super().__init__(name, default, text, unit="", bounds=", ".join(choices))
        self._choices = choices

    def parse(self, text: str) -> str:
        """Give the word; a ValueError for any other."""
        word = text.strip()
        if word not in self._choices:
            raise ValueError(text)
        return word


QMP = Seconds(
    "qmp_timeout",
    5.0,
    "one call to a guest's QEMU, from the first byte to the last",
)

LISTING = Seconds(
    "listing_timeout",
    2.0,
    "what all guests of a listing may take together; those that do not answer are listed by what"
    " their process tells",
)

UNPLUG = Seconds(
    "unplug_timeout",
    30.0,
    "what a guest may take to let go of a disk or a NIC; after that nothing is removed",
)

REBOOT = Seconds(
    "reboot_timeout",
    60.0,
    "what a guest may take to shut down for a soft reboot, before it is ended; all that time it is"
    " asked, again and again; 0 ends it at once",
    least=0.0,
)

# Its main loop is busy for many seconds when it sends the end of a large guest, and a failed
# question aborts a migration.
MIGRATION = Seconds(
    "migration_timeout",
    60.0,
    "what a living QEMU may take to answer while its guest migrates",
)

MIGRATION_TLS = Choice(
    "migration_tls",
    "off",
    "whether guests migrate encrypted: off; prefer, where the other node does so too; require, or"
    " not at all (docs/migration.md)",
    choices=("off", "prefer", "require"),
)

NIC_MTU = Choice(
    "nic_mtu",
    "auto",
    "whether a paravirtual NIC tells its guest the MTU of the bridge that it is born on, where that"
    " is another than 1500; the tag hv-kvm:mtu says it for one instance",
    choices=("auto", "off"),
)

MIGRATION_CHANNELS = Count(
    "migration_channels",
    0,
    "connections for the memory of a guest that migrates encrypted (QEMU's multifd), if its"
    " migration_caps name nothing else; 0 is QEMU's one",
    most=32,
)

MIGRATION_DOWNTIME_MAX = Count(
    "migration_downtime_max",
    0,
    "how far the limit of a guest's stand-still at the end of its migration may rise, from the"
    " parameter migration_downtime on, once twice its memory was sent: by half every 5 s; 0: it"
    " stays",
    # QEMU's limit
    most=2_000_000,
    unit="ms",
)

MIGRATION_THROTTLE = Count(
    "migration_throttle",
    0,
    "how much of its processor time QEMU may take from a guest that writes faster than it is sent"
    " (auto-converge), step by step; 0: nothing",
    most=99,
    unit="%",
)

MIGRATION_CANCEL_THRESHOLD = Count(
    "migration_cancel_threshold",
    0,
    "a migration is given up when more than this was sent, of the guest's memory; 0: never",
    least=101,
    most=1_000_000,
    unit="%",
)

MIGRATION_CANCEL_AFTER = Seconds(
    "migration_cancel_after",
    0.0,
    "a migration is given up when it takes longer, or goes on by postcopy where the guest's"
    " migration_caps allow that; 0: never",
    least=0.0,
)

UNKNOWN_PARAMETERS = Choice(
    "unknown_parameters",
    "delegate",
    "what becomes of a guest that uses a hypervisor parameter which this Ganeti has and this"
    " version of ganeti-hv-kvm does not know: delegate, Ganeti's own module builds its QEMU;"
    " refuse, it is not started; aside, Ganeti gets its own module for all guests of the node"
    " (after a restart of ganeti-noded)",
    choices=("delegate", "refuse", "aside"),
)

#: All of them, in the order of the documents.
ALL: tuple[Setting[float] | Setting[int] | Setting[str], ...] = (
    QMP,
    LISTING,
    UNPLUG,
    REBOOT,
    MIGRATION,
    MIGRATION_TLS,
    NIC_MTU,
    MIGRATION_CHANNELS,
    MIGRATION_DOWNTIME_MAX,
    MIGRATION_THROTTLE,
    MIGRATION_CANCEL_THRESHOLD,
    MIGRATION_CANCEL_AFTER,
    UNKNOWN_PARAMETERS,
)

# The hypervisor parameter kvm_qmp_timeout, where Ganeti has it: whole seconds.
_QMP_PARAMETER: str | None = getattr(constants, "HV_KVM_QMP_TIMEOUT", None)

# The content of the file whose slips were logged: once for each version of it.
_told: settings_file.Content | None = None


def _content() -> settings_file.Content:
    global _told  # noqa: PLW0603
    content = settings_file.content()
    if content != _told:
        _told = content
        for problem in settings_file.few(_problems_of(content)):
            logging.warning("%s; the default holds", problem)
    return content


def _problems_of(content: settings_file.Content) -> Iterator[str]:
    yield from content.problems
    yield from (problem for problem, _ in _slips(content))


def _slips(content: settings_file.Content) -> Iterator[tuple[str, str]]:
    """What is wrong with lines that are settings by their form, each with the name there."""
    known = {setting.name: setting for setting in ALL}
    for name, line in content.lines.items():
        place = f"{settings_file.PATH}, line {line.number}"
        setting = known.get(name)
        if setting is None:
            yield f"{place}: there is no setting {name[:_SHOWN]!r}", name
        elif reason := setting.why_not(line.text):
            yield f"{place}: {name} is {reason}", name


def problems() -> list[str]:
    """Say what is wrong with the file and with the environment, each in one sentence.

    For the operator (``status``, ``doctor``, ``gnt-cluster verify``): no guest suffers by it.
    """
    of_file = settings_file.few(_problems_of(settings_file.content()))
    return [*of_file, *_problems_of_environment()]


def _problems_of_environment() -> list[str]:
    return [problem for setting in ALL if (problem := setting.problem())]


def check() -> None:
    """Make sure that the environment can be read, before a guest is touched.

    A limit that is not what the operator meant could end a guest that would have obeyed.

    Raises:
        errors.HypervisorError: which variables are wrong.
    """
    if found := _problems_of_environment():
        raise errors.HypervisorError(
            f"Nothing was done: {'; '.join(found)}. Correct it where Ganeti's daemons are"
            " started (Debian: /etc/default/ganeti), and restart ganeti-noded"
        )


def configured_qmp_seconds(hvparams: Mapping[str, object] | None) -> float | None:
    """Give the limit of a call to QEMU that a guest's parameters ask for; None if they do not.

    The setting goes first, for every guest has the parameter, by default. 0 asks for nothing.
    """
    if not (_QMP_PARAMETER and hvparams) or QMP.is_set():
        return None
    return float(number_or_zero(hvparams, _QMP_PARAMETER)) or None
