"""What a QEMU program can do, as it says itself by ``--help``, ``-machine ?`` and ``-device ?``.

One run of QEMU costs 15 to 30 ms, so each question is asked only when its answer is needed, and
not again while the binary stays the same (``answer_cache``).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from types import FunctionType
from typing import Any

from ganeti import errors, utils

from . import answer_cache
from .host import child_status

KVMOPT_HELP = "help"
KVMOPT_MLIST = "mlist"
KVMOPT_DEVICELIST = "devicelist"
_CPU_LIST = "cpulist"
_VIRTIO_BLK, _VIRTIO_SCSI = "virtio-blk-pci", "virtio-scsi-pci"

KVMOPTS_CMDS: Mapping[str, tuple[list[str], bool]] = {
    KVMOPT_HELP: (["--help"], False),
    KVMOPT_MLIST: (["-machine", "?"], False),
    # Old QEMU ends with status 1 after it has printed the list.
    KVMOPT_DEVICELIST: (["-device", "?"], True),
    _CPU_LIST: (["-cpu", "help"], True),
    # The properties of one device; a QEMU without it fails.
    _VIRTIO_BLK: (["-device", f"{_VIRTIO_BLK},?"], True),
    _VIRTIO_SCSI: (["-device", f"{_VIRTIO_SCSI},?"], True),
}
"""The question's arguments, and whether the answer counts when QEMU's exit status does not."""

# ",boot=on|off" among the properties of -drive; a line that begins with a dash is another switch.
BOOT_RE = re.compile(r"^-(?:drive|blockdev)\s(?:.|\n(?!-))*?,boot=on\|off", re.MULTILINE)

# Compiled when first needed: all of Ganeti's jobs import this, few need it.
_VERSION = r"\b(?P<major>\d+)\.(?P<minor>\d+)(?:\.(?P<revision>\d+))?\b"
_SWITCH = r"(?m)^(?=-)"
_NAME = r"-[\w-]+"
_DEFAULT = r"(?m)^(?P<name>\S+)[^\n]*\(default\)"

# What Ganeti asks for where QEMU names no default machine.
_FALLBACK_MACHINE = "pc"

Version = tuple[str, int, int, int]
"""The version as QEMU writes it, then major, minor and revision."""


def get_output(path: str, option: str) -> str:
    """Asks the QEMU at ``path`` one question of ``KVMOPTS_CMDS`` and returns what it prints.

    Raises HypervisorError if QEMU cannot be run or fails.
    """
    return str(_ask(path, option).output)


def _ask(path: str, option: str) -> Any:
    if option not in KVMOPTS_CMDS:
        raise errors.ProgrammerError(f"no such question to QEMU: {option!r}")
    arguments, may_fail = KVMOPTS_CMDS[option]
    try:
        result = utils.RunCmd([path, *arguments])
    except (OSError, UnicodeError, errors.OpExecError) as err:
        raise errors.HypervisorError(
            f"{path} {' '.join(arguments)} could not be run: {err}"
        ) from err
    # one that was killed may have said a part of it
    if result.failed and not (may_fail and getattr(result, "signal", None) is None):
        raise errors.HypervisorError(
            f"{path} {' '.join(arguments)} failed ({result.fail_reason}), so it is not known what"
            f" this QEMU can do: {result.output}"
        )
    return result


def known_output(path: str, option: str) -> str:
    """As ``get_output``, but asks only a binary that is not known yet.

    Ganeti's tests replace ``utils.RunCmd``: what it says then is neither read from the disk nor
    kept there.
    """
    genuine = isinstance(utils.RunCmd, FunctionType)
    identity = answer_cache.identity(path) if genuine else None
    if identity is None:
        return get_output(path, option)
    answer = answer_cache.load(path, identity).get(option)
    if answer is not None:
        return answer
    result = _ask(path, option)
    if not result.output.strip():
        raise errors.HypervisorError(
            f"{path} said nothing when asked for {option!r}: it is not known what this QEMU can do"
        )
    complete = not result.failed and child_status.is_told()
    # the binary may have been replaced while it ran
    if complete and answer_cache.identity(path) == identity:
        answer_cache.store(path, identity, option, result.output)
    return str(result.output)


def parse_version(text: str) -> Version:
    """The version in the first line of ``--help``; raises HypervisorError if it has none."""
    first_line = text.partition("\n")[0]
    found = re.search(_VERSION, first_line)
    if found is None:
        raise errors.HypervisorError(f"no QEMU version in the first line of --help: {first_line!r}")
    return (
        found[0],
        int(found["major"]),
        int(found["minor"]),
        int(found["revision"] or 0),
    )


def parse_default_machine(text: str) -> str:
    """The machine that ``-machine ?`` marks as default, "pc" if it marks none."""
    found = re.search(_DEFAULT, text)
    return found["name"] if found else _FALLBACK_MACHINE


def get_version(path: str) -> Version:
    """The version of the QEMU at ``path``; raises HypervisorError."""
    return parse_version(known_output(path, KVMOPT_HELP))


def get_default_machine(path: str) -> str:
    """The default machine of the QEMU at ``path``; raises HypervisorError."""
    return parse_default_machine(known_output(path, KVMOPT_MLIST))


class QemuFacts:
    """The answers of one QEMU program.

    ``ask`` gets a key of ``KVMOPTS_CMDS`` and gives the text of the answer; it is called at most
    once for each.
    """

    def __init__(self, path: str, ask: Callable[[str], str]) -> None:
        self.path = path
        self.ask = ask

    @classmethod
    def from_texts(
        cls, path: str, *, help_text: str, machines: str = "", devices: str = ""
    ) -> QemuFacts:
        """Facts from answers that are known already."""
        answers = {KVMOPT_HELP: help_text, KVMOPT_MLIST: machines, KVMOPT_DEVICELIST: devices}
        return cls(path, lambda question: answers.get(question, ""))

    @cached_property
    def help(self) -> str:
        """What ``--help`` prints."""
        return self.ask(KVMOPT_HELP)

    @cached_property
    def machines(self) -> str:
        """What ``-machine ?`` prints."""
        return self.ask(KVMOPT_MLIST)

    @cached_property
    def devices(self) -> str:
        """What ``-device ?`` prints."""
        return self.ask(KVMOPT_DEVICELIST)

    @cached_property
    def cpus(self) -> str:
        """What ``-cpu help`` prints."""
        return self.ask(_CPU_LIST)

    @cached_property
    def version(self) -> Version:
        """The version as text and as numbers."""
        return parse_version(self.help)

    @cached_property
    def default_machine(self) -> str:
        """The machine that QEMU takes if it is told none."""
        return parse_default_machine(self.machines)

    def machine_of(self, name: str) -> str:
        """The machine type behind an alias such as "pc"; another name as it is."""
        found = re.search(
            rf"(?m)^{re.escape(name)}\s.*\(alias of (?P<type>[^)\s]+)\)", self.machines
        )
        return found["type"] if found else name

    def lacks_machine(self, name: str) -> bool:
        """Whether ``-machine ?`` lists machines, and not this one."""
        names = re.findall(r"(?m)^(\S+)\s+\S", self.machines)
        return bool(names) and name not in names

    @cached_property
    def _switches(self) -> Mapping[str, list[str]]:
        """The help text cut before each switch: switch -> its paragraphs."""
        paragraphs: dict[str, list[str]] = {}
        for paragraph in re.split(_SWITCH, self.help):
            name = re.match(_NAME, paragraph)
            if name:
                paragraphs.setdefault(name[0], []).append(paragraph)
        return paragraphs

    def has_switch(self, switch: str) -> bool:
        """Whether ``--help`` lists this switch, such as "-netdev"."""
        return switch in self._switches

    def switch_offers(self, switch: str, text: str, *, form: str = "") -> bool:
        """Whether the help of ``switch`` (of its form that begins so) holds ``text``."""
        start = f"{switch} {form}" if form else switch
        return any(
            text in paragraph
            for paragraph in self._switches.get(switch, ())
            if paragraph.startswith(start)
        )

    def has_device(self, driver: str) -> bool:
        """Whether ``-device ?`` lists this driver."""
        return re.search(rf'^name "{re.escape(driver)}"', self.devices, re.MULTILINE) is not None

    def lacks_switch(self, switch: str) -> bool:
        """Whether ``--help`` lists switches, and not this one."""
        return bool(self._switches) and not self.has_switch(switch)

    def lacks_device(self, driver: str) -> bool:
        """Whether ``-device ?`` lists drivers, and not this one."""
        return bool(self.devices) and not self.has_device(driver)

    def has_usb_device(self, driver: str) -> bool:
        """Whether ``-device ?`` lists this driver among those for USB; also if it lists nothing."""
        line = rf'^name "{re.escape(driver)}", bus usb-bus'
        return not self.devices or bool(re.search(line, self.devices, re.MULTILINE))

    def can_map_queues(self, driver: str) -> bool:
        """Whether several threads can serve one virtio disk (QEMU 9.0) or controller (10.0).

        Args:
            driver: "virtio-blk-pci" or "virtio-scsi-pci".
        """
        return "iothread-vq-mapping=<IOThreadVirtQueueMappingList>" in self.ask(driver)

    @property
    def needs_boot_flag(self) -> bool:
        """A QEMU below 1.0 that starts from a drive only if told so by ``boot=on``."""
        return BOOT_RE.search(self.help) is not None

    @property
    def has_auto_read_only(self) -> bool:
        """The property auto-read-only of block nodes (QEMU 3.1 and later)."""
        return self.switch_offers("-blockdev", ",auto-read-only=on|off")

    @property
    def has_vhost(self) -> bool:
        """TAP network backends can use vhost-net."""
        return self.switch_offers("-netdev", ",vhost=on|off", form="tap")

    @property
    def has_multiqueue(self) -> bool:
        """TAP network backends can have several queues."""
        return self.switch_offers("-netdev", ",fds=x:y:...:z", form="tap")

    def runs_with(self, prop: str) -> bool:
        """Whether -run-with knows ``prop``: "chroot" since QEMU 8.1, "user" since 9.1."""
        return self.switch_offers("-run-with", f"{prop}=")


def probe(path: str) -> QemuFacts:
    """The facts about the QEMU at ``path``; each question is put to it when first needed.

    Reading a fact raises HypervisorError if QEMU fails to answer.
    """
    return QemuFacts(path, functools.partial(known_output, path))
