"""How people see the guest: VNC, SPICE or not at all, and the graphics card."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import pairwise

from ganeti import constants, errors, netutils

from ganeti_hv_kvm.hv_kvm.devices.q35 import Function
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import text_or_none
from ganeti_hv_kvm.hv_kvm.kvm_utils import Escape

from .option import Part, in_brackets, properties
from .request import StartRequest

_TLS_ID = "vnctls0"


def _port(request: StartRequest) -> int:
    port = request.instance.network_port
    if port is None:
        raise errors.HypervisorError(
            f"instance {request.instance.name} has no network port to show its screen on"
        )
    return int(port)


def _vnc_screen(request: StartRequest, address: str) -> str:
    """``HOST:NUMBER``, QEMU's way to name a VNC server."""
    port = _port(request)
    number = port - constants.VNC_BASE_PORT
    if number <= 0:
        logging.error(
            "KVM: %s: port %d is no VNC port (they begin above %d), so there is no VNC server",
            request.instance.name,
            port,
            constants.VNC_BASE_PORT,
        )
        return "none"
    host = "" if address == constants.IP4_ADDRESS_ANY else in_brackets(address)
    return f"{host}:{number}"


def _vnc_credentials(request: StartRequest) -> list[str]:
    """The -object with the TLS credentials, if VNC is to be encrypted."""
    hvp = request.hvp
    if not hvp[constants.HV_VNC_TLS]:
        return []
    verify = hvp[constants.HV_VNC_X509_VERIFY]
    folder = hvp[constants.HV_VNC_X509]
    name: list[Part] = [("id", _TLS_ID), ("endpoint", "server")]
    if not (verify or folder):
        return ["-object", properties("tls-creds-anon", *name)]
    peer = ("verify-peer", "yes" if verify else "no")
    return ["-object", properties("tls-creds-x509", *name, ("dir", folder), peer)]


def _vnc(request: StartRequest, address: str) -> list[str]:
    if not netutils.IPAddress.IsValid(address):
        # TLS and passwords are for addresses; who may open the socket is up to the folder.
        return ["-vnc", f"unix:{Escape(address)}/{Escape(request.instance.name)}.vnc"]
    options = properties(
        _vnc_screen(request, address),
        ("tls-creds", _TLS_ID) if request.hvp[constants.HV_VNC_TLS] else None,
        "password" if request.hvp[constants.HV_VNC_PASSWORD_FILE] else None,
    )
    return [*_vnc_credentials(request), "-vnc", options]


def _spice_port(request: StartRequest) -> list[Part]:
    hvp, paths, port = request.hvp, request.paths, _port(request)
    logging.info("KVM: %s: SPICE on port %d", request.instance.name, port)
    if not hvp[constants.HV_KVM_SPICE_USE_TLS]:
        return [("port", port)]
    ciphers = hvp[constants.HV_KVM_SPICE_TLS_CIPHERS]
    return [
        ("tls-port", port),
        ("x509-cacert-file", paths.spice_cacert),
        ("x509-key-file", paths.spice_cert),
        ("x509-cert-file", paths.spice_cert),
        ("tls-ciphers", ciphers) if ciphers else None,
    ]


# QEMU's name of a SPICE property -> Ganeti's parameter, which is given as it is if set.
_SPICE_TUNING = (
    ("image-compression", constants.HV_KVM_SPICE_LOSSLESS_IMG_COMPR),
    ("jpeg-wan-compression", constants.HV_KVM_SPICE_JPEG_IMG_COMPR),
    ("zlib-glz-wan-compression", constants.HV_KVM_SPICE_ZLIB_GLZ_IMG_COMPR),
    ("streaming-video", constants.HV_KVM_SPICE_STREAMING_VIDEO_DETECTION),
)


def _spice_agent_channel(request: StartRequest) -> list[str]:
    place = request.fixed_place(Function.SPICE_AGENT)
    return [
        *("-device", properties("virtio-serial-pci", ("id", "spice"), *place)),
        *("-device", "virtserialport,chardev=spicechannel0,name=com.redhat.spice.0"),
        *("-chardev", "spicevmc,id=spicechannel0,name=vdagent"),
    ]


def _spice(request: StartRequest, address: str) -> list[str]:
    hvp = request.hvp
    version = request.display.spice_ip_version
    # Without a ticket QEMU lets nobody in until a password is set over QMP.
    open_to_all = not hvp[constants.HV_KVM_SPICE_PASSWORD_FILE]
    agent = hvp[constants.HV_KVM_SPICE_USE_VDAGENT]
    options = properties(
        ("addr", address),
        *_spice_port(request),
        "disable-ticketing" if open_to_all else None,
        f"ipv{version}" if version else None,
        *((key, hvp[name]) for key, name in _SPICE_TUNING if hvp[name]),
        None if hvp[constants.HV_KVM_SPICE_AUDIO_COMPR] else ("playback-compression", "off"),
        None if agent else ("agent-mouse", "off"),
    )
    return [*(_spice_agent_channel(request) if agent else ()), "-spice", options]


def screen(request: StartRequest) -> list[str]:
    """-vnc, -spice, or no screen at all."""
    if request.display.vnc:
        return _vnc(request, request.display.vnc)
    if request.display.spice:
        return _spice(request, request.display.spice)
    # -nographic does not go with -daemonize from QEMU 1.4 on.
    return ["-display", "none"] if request.facts.has_switch("-display") else ["-nographic"]


def vga(request: StartRequest) -> list[str]:
    """-vga: the graphics card; SPICE wants its own."""
    model = text_or_none(request.hvp, constants.HV_VGA)
    if not model and request.hvp[constants.HV_KVM_SPICE_BIND]:
        model = "qxl"
    return ["-vga", model] if model else []


def takes_password(command: Sequence[str], protocol: str) -> bool:
    """Whether a stored command has a display of this protocol that a password can be set for.

    ``protocol`` is QMP's "vnc" or "spice". QEMU refuses one for a display that was not started to
    ask for it: on another one, or none, than the parameters of today describe.
    """
    arguments = [value for switch, value in pairwise(command) if switch == f"-{protocol}"]
    if protocol == "spice":
        return any("disable-ticketing" not in value.split(",") for value in arguments)
    flags = {flag.partition("=")[0] for value in arguments for flag in value.split(",")[1:]}
    return "password" in flags
