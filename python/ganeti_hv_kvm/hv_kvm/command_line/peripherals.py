"""What is plugged into the guest: controllers, sound, USB, serial port, monitor, guest agent."""

from __future__ import annotations

import logging

from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.devices import q35
from ganeti_hv_kvm.hv_kvm.devices.description import Device
from ganeti_hv_kvm.hv_kvm.devices.q35 import Function, fixed_place
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import text, text_or_none

from . import iothreads
from . import usb as usb_words
from .boot import has_scsi_cdrom
from .guest_devices import BALLOON
from .option import properties, unix_server
from .request import StartRequest


def sound_output(spice_bind: str | None) -> str:
    """Where sound is heard: at the guest's SPICE display, if it has one."""
    return "spice" if spice_bind else "none"


def sound(request: StartRequest) -> list[str]:
    """The sound card. QEMU 7.1 replaced -soundhw by -audio, which also wants to know the output."""
    model = text_or_none(request.hvp, constants.HV_SOUNDHW)
    if not model:
        return []
    has_switch = request.facts.has_switch("-soundhw")
    output = sound_output(text_or_none(request.hvp, constants.HV_KVM_SPICE_BIND))
    return sound_card(model, output, is_q35=request.is_q35, has_switch=has_switch)


def sound_card(model: str, output: str, *, is_q35: bool, has_switch: bool) -> list[str]:
    """A sound card.

    Args:
        model: as soundhw names it.
        output: where it is heard, QEMU's driver "none" or "spice".
        has_switch: QEMU has -soundhw.

    Raises:
        errors.HypervisorError: a q35 cannot have it.
    """
    if is_q35:
        return _sound_in_place(model, output)
    if has_switch:
        return ["-soundhw", model]
    return ["-audio", properties(("driver", output), ("model", model), ("id", "soundhw"))]


def _sound_in_place(model: str, output: str) -> list[str]:
    """The sound card as a device, as -audio lets nobody choose its slot."""
    backend = ("audiodev", "soundhw-dev")
    card = [("id", "soundhw"), *fixed_place(Function.SOUND)]
    devices = {
        "ac97": [properties("AC97", *card, backend)],
        "hda": [
            properties("intel-hda", *card),
            properties("hda-duplex", ("bus", "soundhw.0"), backend),
        ],
    }
    if model not in devices:
        raise errors.HypervisorError(
            f"{constants.HV_SOUNDHW} is {model}, but a q35 machine can be given"
            f" {' or '.join(devices)} alone"
        )
    found = [word for device in devices[model] for word in ("-device", device)]
    return ["-audiodev", properties(output, ("id", backend[1])), *found]


def scsi_controller(request: StartRequest) -> list[str]:
    """The SCSI controller, if a disk or a CD-ROM needs one."""
    disks = request.hvp[constants.HV_DISK_TYPE] in constants.HT_SCSI_DEVICE_TYPES
    if not disks and not has_scsi_cdrom(request):
        return []
    model = request.hvp[constants.HV_KVM_SCSI_CONTROLLER_TYPE]
    place = request.fixed_place(Function.SCSI_CONTROLLER)
    words = {"driver": model, "id": "scsi", **dict(place)}
    return ["-device", Device(words | iothreads.controller_properties(request)).as_argument()]


def balloon(request: StartRequest) -> list[str]:
    """The balloon, by which Ganeti changes the memory of a running guest."""
    if request.options.is_on("balloon", True):
        place = request.fixed_place(Function.BALLOON)
        return ["-device", properties(BALLOON, *place)]
    if request.is_q35:
        return ["-device", properties("pcie-root-port", *q35.in_place_of_balloon())]
    return []


def monitor(request: StartRequest) -> list[str]:
    """-monitor for people and site scripts; Ganeti itself talks QMP."""
    return ["-monitor", unix_server(request.paths.monitor)]


def serial(request: StartRequest) -> list[str]:
    """The serial console on a Unix socket, or no serial port."""
    wanted = request.hvp[constants.HV_SERIAL_CONSOLE]
    return ["-serial", unix_server(request.paths.serial) if wanted else "none"]


def usb(request: StartRequest) -> list[str]:
    """USB and the pointer; with VNC a tablet, whose pointer does not drift.

    A pc has its controller always, a q35 gets one with the first device.
    """
    pointer = text_or_none(request.hvp, constants.HV_USB_MOUSE)
    if not pointer and request.hvp[constants.HV_VNC_BIND_ADDRESS]:
        pointer = constants.HT_MOUSE_TABLET
    controller = ["-usb"]
    if request.is_q35:
        place = request.fixed_place(Function.USB_CONTROLLER)
        wanted = pointer or usb_words.listed(text(request.hvp, constants.HV_USB_DEVICES))
        controller = ["-device", properties("qemu-xhci", ("id", "usb"), *place)] if wanted else []
    if pointer:
        controller += usb_words.arguments(pointer, request.facts, is_q35=request.is_q35)
    return controller


def usb_devices(request: StartRequest) -> list[str]:
    """The administrator's list of USB devices.

    Raises HypervisorError for what this QEMU cannot be given.
    """
    words = usb_words.listed(text(request.hvp, constants.HV_USB_DEVICES))
    output = sound_output(text_or_none(request.hvp, constants.HV_KVM_SPICE_BIND))
    return [
        argument
        for number, word in enumerate(words)
        for argument in usb_words.arguments(
            word, request.facts, is_q35=request.is_q35, number=number, sound=output
        )
    ]


def guest_agent(request: StartRequest) -> list[str]:
    """The channel of qemu-guest-agent; its name is the one the agent looks for."""
    if not request.hvp[constants.HV_USE_GUEST_AGENT]:
        return []
    path = request.paths.guest_agent
    logging.info("KVM: %s: guest agent socket %s", request.instance.name, path)
    channel = properties("socket", ("path", path), "server", "nowait", ("id", "qga0"))
    place = request.fixed_place(Function.GUEST_AGENT)
    controller = properties("virtio-serial", ("id", "qga0"), *place)
    port = properties("virtserialport", ("chardev", "qga0"), ("name", "org.qemu.guest_agent.0"))
    return ["-chardev", channel, "-device", controller, "-device", port]


def extra(request: StartRequest) -> list[str]:
    """The administrator's own arguments."""
    return request.extra
