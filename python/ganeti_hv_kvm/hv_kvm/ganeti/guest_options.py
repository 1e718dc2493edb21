"""Options of one guest, given by tags of its instance: ``hv-kvm:NAME:VALUE``.

Tags reach the hypervisor with the instance on every Ganeti, so that a guest can have what no
hypervisor parameter of that Ganeti says. A tag that is wrong (an unknown name, a value that is
none) refuses a start; where a guest runs already it only costs the option that it was to give.
docs/options.md is checked against the table here.
"""

from __future__ import annotations

import enum
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from ganeti import errors

if TYPE_CHECKING:
    from ganeti import objects

PREFIX = "hv-kvm:"
_SHOWN = 80

Value = int | str | bool


class When(enum.Enum):
    """When a changed tag is in force."""

    APPLY = "at once, by 'ganeti-hv-kvm apply'"
    START = "after the next start, reboot or migration"
    COLD_START = "after the next shutdown and start"
    NIC = "for a NIC that is added, and after the next shutdown and start"


class Option(NamedTuple):
    """One option.

    Attributes:
        name: in the tag; ``diskN`` stands for each number of a disk.
        values: which it may have, in words.
        parse: text -> value; a ValueError for any other text.
        when: when a changed tag is in force.
        example: a value.
        alone: the value that the name alone means, or None.
    """

    name: str
    values: str
    parse: Callable[[str], Value]
    when: When
    example: str
    alone: Value | None = None


#: The most that QEMU takes as a limit of a disk.
MOST_OF_A_LIMIT = 10**15
MOST_THREADS = 8
#: Bytes: what IPv4 requires of a link, and what virtio-net can say.
LEAST_MTU, MOST_MTU = 68, 65535

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,16}", text) or not least <= int(text) <= most:
            raise ValueError(text)
        return int(text)

    return parse


def _bytes(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,16})([kKmMgG]?)", text)
    if found is None or int(found[1]) * _UNITS[found[2].lower()] > MOST_OF_A_LIMIT:
        raise ValueError(text)
    return int(found[1]) * _UNITS[found[2].lower()]


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return parse


def _switch(text: str) -> bool:
    return _one_of("on", "off")(text) == "on"


def _mtu(text: str) -> Value:
    return text if text in ("auto", "off") else _whole(LEAST_MTU, MOST_MTU)(text)


def _host_nodes(text: str) -> str:
    found = re.fullmatch(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", text)
    if found is None or int(found[2] or found[1]) < int(found[1]):
        raise ValueError(text)
    return text


_WATCHDOG = ("reset", "shutdown", "poweroff", "inject-nmi", "pause", "debug", "none")
_PANIC = ("pause", "shutdown", "none")
_UEFI = "uefi"
_A_LIMIT = f"a whole number up to {MOST_OF_A_LIMIT}, 0 for none"
_IN_BYTES = f"{_A_LIMIT}; k, M and G behind it are KiB, MiB and GiB"

#: All of them, in the order of the documents.
TABLE: tuple[Option, ...] = (
    Option("disk-iops", _A_LIMIT, _whole(0, MOST_OF_A_LIMIT), When.APPLY, "500"),
    Option("disk-bps", _IN_BYTES, _bytes, When.APPLY, "100M"),
    Option("diskN-iops", _A_LIMIT, _whole(0, MOST_OF_A_LIMIT), When.APPLY, "200"),
    Option("diskN-bps", _IN_BYTES, _bytes, When.APPLY, "20M"),
    Option(
        "iothreads",
        f"a whole number up to {MOST_THREADS}, 0 for none",
        _whole(0, MOST_THREADS),
        When.START,
        "1",
    ),
    Option("mtu", f"{LEAST_MTU} to {MOST_MTU}, auto (the bridge's) or off", _mtu, When.NIC, "9000"),
    Option("balloon", "on or off", _switch, When.COLD_START, "off"),
    Option("rng", "nothing, on or off", _switch, When.COLD_START, "on", alone=True),
    Option("watchdog", ", ".join(_WATCHDOG), _one_of(*_WATCHDOG), When.COLD_START, "reset"),
    Option("panic", ", ".join(_PANIC), _one_of(*_PANIC), When.COLD_START, "pause"),
    Option(
        "hugepages",
        "nothing (the node's default size), 2M or 1G",
        _one_of("2M", "1G"),
        When.START,
        "2M",
        alone="default",
    ),
    Option("numa", "a node of the host, or a range of them", _host_nodes, When.START, "0-1"),
    Option("firmware", _UEFI, _one_of(_UEFI), When.COLD_START, _UEFI),
)

_BY_NAME: Mapping[str, Option] = {option.name: option for option in TABLE}
_OF_A_DISK = re.compile(r"disk([0-9]{1,2})-(iops|bps)")


def option_of(name: str) -> Option | None:
    """Give the table's row of a name; ``disk0-iops`` has that of ``diskN-iops``."""
    if found := _OF_A_DISK.fullmatch(name):
        name = f"diskN-{found[2]}"
    elif "N" in name:
        return None
    return _BY_NAME.get(name)


class DiskLimit(NamedTuple):
    """Limits of disks; None where no tag says one.

    Attributes:
        iops: requests a second, reads and writes together; 0 is no limit.
        bps: bytes a second, likewise.
    """

    iops: int | None = None
    bps: int | None = None


class Options:
    """What the tags of an instance ask for, as far as they are right."""

    __slots__ = ("values", "wrong")

    def __init__(
        self, values: Mapping[str, Value] | None = None, wrong: Iterable[str] = ()
    ) -> None:
        """Take value by name; what is not in it was not asked for, or only by a wrong tag.

        Args:
            wrong: names in tags that are wrong, as they are written there.
        """
        self.values: Mapping[str, Value] = values or {}
        self.wrong = frozenset(wrong)

    def __bool__(self) -> bool:
        return bool(self.values)

    def number(self, name: str) -> int | None:
        """Give the value of an option that is a number; None if it was not asked for."""
        value = self.values.get(name)
        return value if isinstance(value, int) else None

    def word(self, name: str) -> str | None:
        """Give the value of an option that is a word; None if it was not asked for."""
        value = self.values.get(name)
        return value if isinstance(value, str) else None

    def is_on(self, name: str, default: bool) -> bool:
        """Tell whether an option is switched on."""
        return bool(self.values.get(name, default))

    @property
    def asks_for_uefi(self) -> bool:
        """Whether the guest is to have UEFI firmware."""
        return self.word("firmware") == _UEFI

    @property
    def has_wrong_limit(self) -> bool:
        """Whether a tag that may be meant as a limit of a disk is wrong: which, nobody can tell."""
        return self.wrong_kinds != frozenset()

    @property
    def wrong_kinds(self) -> frozenset[str] | None:
        """Which limits of all disks are in wrong tags: "iops", "bps"; None if that is not all."""
        wrong = {name for name in self.wrong if name.lower().startswith("disk")}
        kinds = {f"disk-{kind}": kind for kind in DiskLimit._fields}
        return None if wrong - kinds.keys() else frozenset(kinds[name] for name in wrong)

    @property
    def limit_of_all_disks(self) -> DiskLimit:
        """What all disks may do together."""
        return DiskLimit(self.number("disk-iops"), self.number("disk-bps"))

    @property
    def limits_of_a_disk(self) -> dict[int, DiskLimit]:
        """What a disk may do by itself, by its number."""
        limits: dict[int, DiskLimit] = {}
        for name in self.values:
            if found := _OF_A_DISK.fullmatch(name):
                number = int(found[1])
                here = {found[2]: self.number(name)}
                limits[number] = limits.get(number, DiskLimit())._replace(**here)
        return limits


def words(value: Value) -> str:
    """Give a value as a tag has it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def parse(tags: Iterable[str]) -> tuple[Options, list[str]]:
    """Read an instance's tags: what those of ours ask for, and what is wrong with them.

    An option that is given twice with different values counts as not given.
    """
    values: dict[str, Value] = {}
    problems: list[str] = []
    twice: set[str] = set()
    wrong: set[str] = set()
    for tag in sorted(tag for tag in tags if tag.startswith(PREFIX)):
        name, colon, text = tag.removeprefix(PREFIX).partition(":")
        option = option_of(name)
        if option is None:
            known = ", ".join(_BY_NAME)
            problems.append(
                f"tag {tag[:_SHOWN]!r}: there is no option {name[:_SHOWN]!r}, only {known}"
            )
            wrong.add(name)
            continue
        try:
            value = _value(option, text if colon else None)
        except ValueError:
            problems.append(f"tag {tag[:_SHOWN]!r}: {name} may be {option.values}")
            wrong.add(name)
            continue
        if found := _OF_A_DISK.fullmatch(name):
            name = f"disk{int(found[1])}-{found[2]}"  # disk00 is disk0
        if values.setdefault(name, value) != value:
            twice.add(name)
    problems += [f"{name} is given twice, with different values" for name in sorted(twice)]
    right = {name: values[name] for name in values if name not in twice}
    return Options(right, wrong | twice), problems


def _value(option: Option, text: str | None) -> Value:
    if text is not None:
        return option.parse(text)
    if option.alone is None:
        raise ValueError
    return option.alone


def tags_of(instance: objects.Instance) -> list[str]:
    """Give the tags of Ganeti's ``objects.Instance``; some of its callers have none."""
    return [str(tag) for tag in getattr(instance, "tags", None) or ()]


def for_start(instance: objects.Instance) -> Options:
    """Give what a guest that is down is to have.

    Raises:
        errors.HypervisorError: each tag that is wrong.
    """
    options, problems = parse(tags_of(instance))
    if problems:
        refuse(instance.name, problems)
    return options


def refuse(name: str, problems: Iterable[str]) -> NoReturn:
    """Raise ``errors.HypervisorError`` for options that a guest about to start cannot have."""
    raise errors.HypervisorError(
        f"Instance {name} was not started, because of the options in its tags:"
        f" {'; '.join(problems)}. See them with 'gnt-instance list-tags {name}', remove what is"
        f" wrong with 'gnt-instance remove-tags {name} TAG'"
    )


def for_running(instance: objects.Instance) -> Options:
    """Give what a guest that runs is to have; a tag that is wrong is only logged."""
    options, problems = parse(tags_of(instance))
    for problem in problems:
        warn(instance.name, problem)
    return options


def check_left_to_own_module(instance: objects.Instance) -> None:
    """Look at the options of a guest that Ganeti's own module is to build: it knows none of them.

    Raises:
        errors.HypervisorError: that module would show the guest its firmware as a disk.
    """
    options, _ = parse(tags_of(instance))
    if options.asks_for_uefi:
        raise errors.HypervisorError(
            f"Instance {instance.name} is to have UEFI firmware by its tags, and Ganeti's own KVM"
            " module, which alone knows one of its parameters, would show it the disk 'firmware' as"
            " a disk of its own: nothing was done. Upgrade ganeti-hv-kvm, or unset that parameter"
        )
    if options:
        warn(instance.name, "Ganeti's own KVM module, which builds this guest, knows none of them")


def warn(name: str, problem: object) -> None:
    """Log what a guest cannot have of its options; it runs, and that comes first."""
    logging.warning("%s goes on without an option of its tags: %s", name, problem)
