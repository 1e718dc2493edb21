"""What QEMU would refuse to start with, told before anything is started.

Each value here is allowed by Ganeti's own check of its parameter. Where it is not known whether
QEMU can, it is not refused: then QEMU has the last word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ganeti import constants

from ganeti_hv_kvm.hv_kvm.devices import q35
from ganeti_hv_kvm.hv_kvm.ganeti import generation, guest_options
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import HvParams, number, number_or_zero
from ganeti_hv_kvm.hv_kvm.qemu.facts import QemuFacts

from . import memory, usb

# QEMU's names for drives that only other machines have a bus for, and for firmware.
_NO_BUS: Mapping[str, str] = {
    constants.HT_DISK_MTD: "no PC has such a bus",
    constants.HT_DISK_SCSI: "QEMU has not had it since version 2.12; scsi-hd is a disk on SCSI",
    constants.HT_DISK_SD: "no PC has such a bus",
}
_NO_DISKS = {**_NO_BUS, constants.HT_DISK_PFLASH: "that is the machine's firmware, and no disk"}
# -vga's words, and the devices that they mean.
_VGA: Mapping[str, str] = {
    "cirrus": "cirrus-vga",
    "qxl": "qxl-vga",
    "std": "VGA",
    "virtio": "virtio-vga",
    "vmware": "vmware-svga",
}
# -vga's words for cards of other machines.
_VGA_ELSEWHERE = ("xenfb", "tcx", "cg3")
#: The sound cards that -audio knows, and the devices that they are.
SOUND: Mapping[str, str] = {
    "ac97": "AC97",
    "adlib": "adlib",
    "cs4231a": "cs4231a",
    "es1370": "ES1370",
    "gus": "gus",
    "hda": "intel-hda",
    "sb16": "sb16",
    "virtio": "virtio-sound-pci",
}
# The most that QEMU takes by QMP; Ganeti has no bound of its own.
_MOST: Mapping[str | None, tuple[int, str]] = {
    constants.HV_MIGRATION_DOWNTIME: (2_000_000, " (ms)"),
    constants.HV_MIGRATION_BANDWIDTH: ((1 << 43) - 1, " (MiB/s)"),
    getattr(constants, "HV_DISK_IOPS", None): (guest_options.MOST_OF_A_LIMIT, ""),
    getattr(constants, "HV_DISK_BPS", None): (guest_options.MOST_OF_A_LIMIT, ""),
}
# Words with which a guest is never let run: QEMU waits for somebody else's, or ends at once.
_NO_GUEST = frozenset({"incoming", "preconfig", "version", "help", "h"})
_LOCKED = re.compile(r"\b(?:mem-lock|mlock)=(?:on|yes|true|y)\b")
_CPU_LINE = re.compile(r"^(?:x86)?\s+(?P<model>[\w.-]+)", re.MULTILINE)
_CPU_FLAGS = "Recognized CPUID flags"


def refusals(hvp: HvParams, facts: QemuFacts) -> Iterator[str]:
    """Give a sentence for each parameter whose value this QEMU cannot start with.

    Args:
        hvp: all of them, or as many as there are: what is not there is not looked at.
    """
    yield from _machine(hvp, facts)
    yield from _disks(hvp)
    yield from _cdroms(hvp)
    yield from _vga(hvp, facts)
    yield from _sound(hvp, facts)
    yield from _cpu(hvp, facts)
    yield from _usb(hvp, facts)
    yield from _memory(hvp, facts)
    yield from _numbers(hvp)
    yield from _extra(hvp)


def _value(hvp: HvParams, name: str) -> str:
    return str(hvp.get(name) or "")


def _machine(hvp: HvParams, facts: QemuFacts) -> Iterator[str]:
    name = constants.HV_KVM_MACHINE_VERSION
    machine = _value(hvp, name) or facts.default_machine
    if machine == "isapc":
        yield f"{name} is '{machine}', which has no PCI bus for disks and NICs"
    name = constants.HV_KVM_PCI_RESERVATIONS
    if q35.is_q35(machine) or name not in hvp:
        return
    own = [
        "the machine's two bridges",
        *(["the graphics card"] if _value(hvp, constants.HV_VGA) != "none" else []),
        "the balloon",
    ]
    least = len(own) + 1
    if number(hvp, name) < least:
        yield (
            f"{name} is {hvp[name]}, but {', '.join(own)} take the first {least} slots before any"
            " disk or NIC"
        )


def _disks(hvp: HvParams) -> Iterator[str]:
    name = constants.HV_DISK_TYPE
    kind = _value(hvp, name)
    if kind in _NO_DISKS:
        yield f"{name} is '{kind}', of which no disk can be: {_NO_DISKS[kind]}"


def _cdroms(hvp: HvParams) -> Iterator[str]:
    name = constants.HV_KVM_CDROM_DISK_TYPE
    kind = _value(hvp, name)
    images = (constants.HV_CDROM_IMAGE_PATH, constants.HV_KVM_CDROM2_IMAGE_PATH)
    if kind in _NO_BUS and any(hvp.get(image) for image in images):
        yield f"{name} is '{kind}', of which no CD-ROM can be: {_NO_BUS[kind]}"


def _vga(hvp: HvParams, facts: QemuFacts) -> Iterator[str]:
    name = constants.HV_VGA
    model = _value(hvp, name)
    lacks = model in _VGA and facts.lacks_device(_VGA[model])
    if model in _VGA_ELSEWHERE:
        yield f"{name} is '{model}', a graphics card of another kind of machine"
    elif lacks or (model and model not in (*_VGA, "none") and not _is_offered(facts, model)):
        yield f"{name} is '{model}', a graphics card that {facts.path} does not have"


def _is_offered(facts: QemuFacts, card: str) -> bool:
    """Whether the help of -vga names a card, or says nothing that could be read."""
    found = re.search(r"(?m)^-vga \[(?P<cards>[^\]]+)\]", facts.help)
    return found is None or card.partition(",")[0] in found["cards"].split("|")


def _sound(hvp: HvParams, facts: QemuFacts) -> Iterator[str]:
    name = constants.HV_SOUNDHW
    model = _value(hvp, name)
    if not model or facts.has_switch("-soundhw") or facts.lacks_switch("-audio"):
        return
    if "," in model or model == "all":
        yield f"{name} is '{model}', but QEMU has given a guest one sound card alone since 7.1"
    elif model not in SOUND or facts.lacks_device(SOUND[model]):
        yield f"{name} is '{model}', a sound card that {facts.path} does not have"


def _cpu(hvp: HvParams, facts: QemuFacts) -> Iterator[str]:
    name = constants.HV_CPU_TYPE
    model = _value(hvp, name).partition(",")[0]
    if not model:
        return
    listed = facts.cpus.partition(_CPU_FLAGS)[0]
    models = {found["model"] for found in _CPU_LINE.finditer(listed)}
    # those that QEMU makes up by itself, such as "host", are in its list too
    if len(models) > 1 and model not in models:
        yield f"{name} is '{model}', which is no CPU that {facts.path} knows"


def _usb(hvp: HvParams, facts: QemuFacts) -> Iterator[str]:
    name = constants.HV_USB_DEVICES
    is_q35 = q35.is_q35(_value(hvp, constants.HV_KVM_MACHINE_VERSION) or facts.default_machine)
    for word in usb.listed(_value(hvp, name)):
        problem = usb.problem(word, facts, plain=usb.takes_plain(facts, is_q35=is_q35))
        if problem:
            yield f"{name}: '{word}' cannot be had: {problem}"


def _memory(hvp: HvParams, facts: QemuFacts) -> Iterator[str]:
    if not memory.is_wanted(hvp):
        return
    said = f"{generation.MEMORY_METHOD} is '{memory.VIRTIO_MEM}'"
    if facts.lacks_device(memory.DRIVER):
        yield f"{said}, a device that {facts.path} does not have"
    if _value(hvp, constants.HV_MEM_PATH):
        yield (
            f"{said}, but {constants.HV_MEM_PATH} is set: a guest that grows beyond the huge pages"
            " of its node would end"
        )
    if _LOCKED.search(_value(hvp, constants.HV_KVM_EXTRA)):
        yield (
            f"{said}, but {constants.HV_KVM_EXTRA} locks the guest's memory (mem-lock): QEMU would"
            " take all that the guest may come to have at once"
        )
    if "-m" in _value(hvp, constants.HV_KVM_EXTRA).split():
        yield f"{said}, but {constants.HV_KVM_EXTRA} has a size of memory (-m) of its own"


def _numbers(hvp: HvParams) -> Iterator[str]:
    for name, (most, unit) in _MOST.items():
        if name and name in hvp and number_or_zero(hvp, name) > most:
            yield f"{name} is {hvp[name]}, and QEMU takes no more than {most}{unit}"


def _extra(hvp: HvParams) -> Iterator[str]:
    name = constants.HV_KVM_EXTRA
    for word in _value(hvp, name).split():
        if word.startswith("-") and word.lstrip("-") in _NO_GUEST:
            yield f"{name} has {word}, with which QEMU runs no guest"
