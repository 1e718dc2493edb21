"""What a QEMU program can do, read from its answers to ``--help``, ``-machine ?``, ``-device ?``.

Who asks it is ``binary``; nothing here runs or reads anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cached_property

from ganeti import errors

# The questions; their words are in ``binary``.
KVMOPT_HELP = "help"
KVMOPT_MLIST = "mlist"
KVMOPT_DEVICELIST = "devicelist"
CPU_LIST = "cpulist"
VIRTIO_BLK, VIRTIO_SCSI = "virtio-blk-pci", "virtio-scsi-pci"

# ",boot=on|off" among the properties of -drive; a line that begins with a dash is another switch.
BOOT_RE = re.compile(r"^-(?:drive|blockdev)\s(?:.|\n(?!-))*?,boot=on\|off", re.MULTILINE)

#: A property of a virtio disk or controller that several threads can serve, in QEMU's words.
QUEUE_MAPPING = "iothread-vq-mapping=<IOThreadVirtQueueMappingList>"

# Compiled when first needed: all of Ganeti's jobs import this, few need it.
_VERSION = r"\b(?P<major>\d+)\.(?P<minor>\d+)(?:\.(?P<revision>\d+))?\b"
_SWITCH = r"(?m)^(?=-)"
_NAME = r"-[\w-]+"
_DEFAULT = r"(?m)^(?P<name>\S+)[^\n]*\(default\)"

# What Ganeti asks for where QEMU names no default machine.
_FALLBACK_MACHINE = "pc"

Version = tuple[str, int, int, int]
"""The version as QEMU writes it, then major, minor and revision."""


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
        return self.ask(CPU_LIST)

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
        return QUEUE_MAPPING in self.ask(driver)

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
