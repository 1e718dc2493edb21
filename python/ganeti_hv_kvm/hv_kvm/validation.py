"""What must hold between hypervisor parameters, beyond what each may be on its own.

``check_*`` need no look at the node and run on the master; ``validate_*`` look at the node: its
users, its network interfaces, its QEMU. Each returns True or raises ``errors.HypervisorError``.
Ganeti and its tests call them by these names, with as few parameters in ``hvparams`` as each needs.
"""

from __future__ import annotations

import logging
import pwd
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from ganeti import constants, errors, netutils, utils

from .command_line import possible
from .devices import q35
from .ganeti import boot_type
from .ganeti.hvparams import HvParams, number_or_zero, text, text_or_none
from .host import beside_qemu, bind_address

if TYPE_CHECKING:
    from .qemu.facts import QemuFacts

is_q35 = q35.is_q35
uses_direct_kernel = boot_type.uses_direct_kernel
uses_ovmf = boot_type.uses_ovmf

#: What makes no sense without an address for SPICE (the rest has a default that is on).
_SPICE_ADDITIONAL_PARAMS = frozenset(
    {
        constants.HV_KVM_SPICE_IP_VERSION,
        constants.HV_KVM_SPICE_JPEG_IMG_COMPR,
        constants.HV_KVM_SPICE_LOSSLESS_IMG_COMPR,
        constants.HV_KVM_SPICE_PASSWORD_FILE,
        constants.HV_KVM_SPICE_STREAMING_VIDEO_DETECTION,
        constants.HV_KVM_SPICE_USE_TLS,
        constants.HV_KVM_SPICE_ZLIB_GLZ_IMG_COMPR,
    }
)
_SPICE_RE = re.compile(r"^-spice\s", re.MULTILINE)

# Ganeti 3.0 has no name for this value of disk_aio, and does not allow it.
_AIO_IO_URING: str = getattr(constants, "HT_KVM_AIO_IO_URING", "io_uring")
_IO_URING_SINCE = (5, 0)

_NO_SECURITY_DOMAIN = (constants.HT_SM_NONE, constants.HT_SM_POOL)


def _machine_re(name: str) -> re.Pattern[str]:
    # QEMU lists other machines too, such as "microvm" and "none"; Ganeti runs PCs alone.
    return re.compile(rf"^{re.escape(name)} +.*PC", re.MULTILINE)


_CHECK_MACHINE_VERSION_RE = [_machine_re]


_Q35 = r"(?m)^pc-q35-"
_Q35_SOUND = ("ac97", "hda")


def _if_equal(refused: str, problem: str) -> Callable[[str], str | None]:
    return lambda value: problem if value == refused else None


# Parameter -> why a q35 machine cannot have this value, or None if it can.
_Q35_LACKS: tuple[tuple[str, Callable[[str], str | None]], ...] = (
    (
        constants.HV_DISK_TYPE,
        _if_equal(constants.HT_DISK_IDE, "its few SATA ports are for CD-ROMs"),
    ),
    (
        constants.HV_KVM_CDROM_DISK_TYPE,
        _if_equal(constants.HT_DISK_PARAVIRTUAL, "nothing starts from such a CD-ROM"),
    ),
    (constants.HV_KVM_FLOPPY_IMAGE_PATH, lambda _: "it has no floppy drive"),
    (constants.HV_NIC_TYPE, _if_equal(constants.HT_NIC_NE2K_ISA, "it has no ISA slots")),
    (
        constants.HV_SOUNDHW,
        lambda value: None if value in _Q35_SOUND else f"it has {' or '.join(_Q35_SOUND)} alone",
    ),
)

# (parameter, value, what is better than that)
_Q35_BETTER = (
    (
        constants.HV_KVM_SCSI_CONTROLLER_TYPE,
        constants.HT_SCSI_CONTROLLER_LSI,
        constants.HT_SCSI_CONTROLLER_VIRTIO,
    ),
    (constants.HV_VGA, "cirrus", "std"),
)


def _ip_version(address: str) -> int | None:
    """The IP version of an address; None if it is not one, such as an interface's name."""
    for version, kind in (
        (constants.IP4_VERSION, netutils.IP4Address),
        (constants.IP6_VERSION, netutils.IP6Address),
    ):
        if kind.IsValid(address):
            return int(version)
    return None


def _is_address_or_interface(bind: str) -> bool:
    return _ip_version(bind) is not None or bind_address.is_interface(bind)


def check_boot_parameters(hvparams: HvParams) -> bool:
    """Booting from CD-ROM needs an image, a kernel a root file system; UEFI knows no floppy.

    boot_type says which of the parameters count; where Ganeti does not have it, all do.
    """
    said = text_or_none(hvparams, boot_type.PARAMETER) if boot_type.PARAMETER else None
    order = hvparams[constants.HV_BOOT_ORDER]
    counts = not said or boot_type.follows_boot_order(hvparams)
    if counts and uses_ovmf(said) and order == constants.HT_BO_FLOPPY:
        raise errors.HypervisorError(
            f"{constants.HV_BOOT_ORDER} is '{order}', from which UEFI firmware cannot boot"
        )
    from_cdrom = counts and order == constants.HT_BO_CDROM
    if from_cdrom and not hvparams[constants.HV_CDROM_IMAGE_PATH]:
        raise errors.HypervisorError(
            f"{constants.HV_BOOT_ORDER} is '{constants.HT_BO_CDROM}', but there is nothing to boot:"
            f" {constants.HV_CDROM_IMAGE_PATH} is empty"
        )
    if boot_type.kernel(hvparams) and not hvparams[constants.HV_ROOT_PATH]:
        raise errors.HypervisorError(
            f"{constants.HV_KERNEL_PATH} is set, so {constants.HV_ROOT_PATH} must name the guest's"
            " root partition"
        )
    return True


def check_console_parameters(hvparams: HvParams) -> bool:
    """A serial console needs a speed that serial lines have."""
    if not hvparams[constants.HV_SERIAL_CONSOLE]:
        return True
    speed = hvparams[constants.HV_SERIAL_SPEED]
    if speed not in constants.VALID_SERIAL_SPEEDS:
        raise errors.HypervisorError(
            f"{constants.HV_SERIAL_SPEED} is {speed!r}; a serial console runs at one of"
            f" {utils.CommaJoin(constants.VALID_SERIAL_SPEEDS)}"
        )
    return True


def check_disk_cache_parameters(hvparams: HvParams) -> bool:
    """Linux' native AIO works past the host's page cache only."""
    native = hvparams[constants.HV_KVM_DISK_AIO] == constants.HT_KVM_AIO_NATIVE
    if native and hvparams[constants.HV_DISK_CACHE] != constants.HT_CACHE_NONE:
        raise errors.HypervisorError(
            f"{constants.HV_KVM_DISK_AIO}={constants.HT_KVM_AIO_NATIVE} goes with"
            f" {constants.HV_DISK_CACHE}={constants.HT_CACHE_NONE} alone"
        )
    return True


def check_security_model(hvparams: HvParams) -> bool:
    """The model "user" needs a user to run QEMU as; the others must have none."""
    model = hvparams[constants.HV_SECURITY_MODEL]
    if model == constants.HT_SM_USER and not hvparams[constants.HV_SECURITY_DOMAIN]:
        raise errors.HypervisorError(
            f"{constants.HV_SECURITY_MODEL}={model} needs the name of a user in"
            f" {constants.HV_SECURITY_DOMAIN}"
        )
    if model in _NO_SECURITY_DOMAIN and hvparams[constants.HV_SECURITY_DOMAIN]:
        raise errors.HypervisorError(
            f"{constants.HV_SECURITY_MODEL}={model} takes no user, so"
            f" {constants.HV_SECURITY_DOMAIN} must be empty"
        )
    return True


def check_spice_parameters(hvparams: HvParams) -> bool:
    """SPICE's address is of the IP version asked for; without one, SPICE is off as a whole."""
    bind = text_or_none(hvparams, constants.HV_KVM_SPICE_BIND)
    if not bind:
        for parameter in sorted(_SPICE_ADDITIONAL_PARAMS):
            if hvparams[parameter]:
                raise errors.HypervisorError(
                    f"{parameter} has no effect: SPICE is off, as {constants.HV_KVM_SPICE_BIND} is"
                    " empty"
                )
        return True
    wanted = hvparams[constants.HV_KVM_SPICE_IP_VERSION]
    actual = _ip_version(bind)
    any_will_do = wanted == constants.IFACE_NO_IP_VERSION_SPECIFIED
    if not any_will_do and actual is not None and actual != wanted:
        raise errors.HypervisorError(
            f"{constants.HV_KVM_SPICE_BIND} is the IPv{actual} address {bind}, but"
            f" {constants.HV_KVM_SPICE_IP_VERSION} is {wanted}"
        )
    return True


def check_vnc_parameters(hvparams: HvParams) -> bool:
    """Clients' certificates can only be verified with a certificate authority at hand."""
    if hvparams[constants.HV_VNC_X509_VERIFY] and not hvparams[constants.HV_VNC_X509]:
        raise errors.HypervisorError(
            f"{constants.HV_VNC_X509_VERIFY} is on, but {constants.HV_VNC_X509} does not say where"
            " the certificates are"
        )
    return True


def validate_migration_parameters(hvparams: HvParams) -> bool:
    """The downtime of a migration is not raised to less than it begins with."""
    parameter = getattr(constants, "HV_MIGRATION_DOWNTIME_MAX", None)
    most = number_or_zero(hvparams, parameter) if parameter else 0
    least = number_or_zero(hvparams, constants.HV_MIGRATION_DOWNTIME)
    if most and most < least:
        raise errors.HypervisorError(
            f"{parameter} is {most}, less than {constants.HV_MIGRATION_DOWNTIME} ({least}); it"
            " must be 0 (the downtime stays as it is), or that at least"
        )
    return True


_CHECKS = (
    check_security_model,
    check_boot_parameters,
    check_disk_cache_parameters,
    check_console_parameters,
    check_vnc_parameters,
    check_spice_parameters,
    validate_migration_parameters,
)


def check_all(hvparams: HvParams) -> None:
    """Run every check that needs no look at the node."""
    for check in _CHECKS:
        check(hvparams)


def validate_security_model(hvparams: HvParams) -> bool:
    """The user to run QEMU as exists on this node."""
    if hvparams[constants.HV_SECURITY_MODEL] != constants.HT_SM_USER:
        return True
    user = text(hvparams, constants.HV_SECURITY_DOMAIN)
    try:
        pwd.getpwnam(user)
    except KeyError as err:
        raise errors.HypervisorError(
            f"{constants.HV_SECURITY_DOMAIN}: this node has no user '{user}'"
        ) from err
    return True


def validate_vnc_parameters(hvparams: HvParams) -> bool:
    """VNC listens on an address, on an interface of this node, or on a socket in a folder."""
    bind = text_or_none(hvparams, constants.HV_VNC_BIND_ADDRESS)
    if bind and not utils.IsNormAbsPath(bind) and not _is_address_or_interface(bind):
        raise errors.HypervisorError(
            f"{constants.HV_VNC_BIND_ADDRESS} is '{bind}', which is neither an IP address nor a"
            " network interface of this node nor an absolute path"
        )
    return True


def validate_spice_parameters(hvparams: HvParams, kvm_help_output: str) -> bool:
    """SPICE has the display for itself, QEMU knows it, and its address or interface exists."""
    bind = text_or_none(hvparams, constants.HV_KVM_SPICE_BIND)
    if not bind:
        return True
    if hvparams[constants.HV_VNC_BIND_ADDRESS]:
        raise errors.HypervisorError(
            f"a guest has one display: {constants.HV_KVM_SPICE_BIND} and"
            f" {constants.HV_VNC_BIND_ADDRESS} cannot both be set"
        )
    if not _SPICE_RE.search(kvm_help_output):
        raise errors.HypervisorError(
            f"{constants.HV_KVM_SPICE_BIND} is set, but this node's QEMU has no SPICE (its --help"
            " does not list -spice)"
        )
    if not _is_address_or_interface(bind):
        raise errors.HypervisorError(
            f"{constants.HV_KVM_SPICE_BIND} is '{bind}', which is neither an IP address nor a"
            " network interface of this node"
        )
    return True


def validate_machine_version(hvparams: HvParams, kvm_machine_output: str) -> bool:
    """The machine is one of the PCs that QEMU lists with ``-machine ?``."""
    machine = text_or_none(hvparams, constants.HV_KVM_MACHINE_VERSION)
    if machine and not _machine_re(machine).search(kvm_machine_output):
        raise errors.HypervisorError(
            f"{constants.HV_KVM_MACHINE_VERSION} is '{machine}', which is no PC that this node's"
            " QEMU knows"
        )
    return True


def validate_q35_capability(hvparams: HvParams, kvm_machine_output: str) -> list[str]:
    """What a q35 machine lacks is not asked of it; other machines pass.

    Gives a sentence for each parameter that works but has a better value. ``kvm_machine_output``
    is what QEMU lists with ``-machine ?``.
    """
    machine = text_or_none(hvparams, constants.HV_KVM_MACHINE_VERSION)
    if not is_q35(machine):
        return []
    if not re.search(_Q35, kvm_machine_output):
        raise errors.HypervisorError(
            f"{constants.HV_KVM_MACHINE_VERSION} is '{machine}', but this node's QEMU has no q35"
        )
    for parameter, problem_of in _Q35_LACKS:
        value = text_or_none(hvparams, parameter)
        problem = problem_of(value) if value else None
        if problem:
            raise errors.HypervisorError(
                f"{parameter}='{value}' is not supported on the q35 machine type: {problem}"
            )
    warnings = [
        f"{parameter} is {value}, which is slow or outdated on a q35 machine; {better} is better"
        for parameter, value, better in _Q35_BETTER
        if hvparams.get(parameter) == value
    ]
    # with SPICE it is a qxl
    if not hvparams.get(constants.HV_VGA) and not hvparams.get(constants.HV_KVM_SPICE_BIND):
        warnings.append(
            f"{constants.HV_VGA} is empty, so QEMU chooses the graphics card, which has been cirrus"
            " and may be another in each version; on a q35 machine std is better"
        )
    return warnings


def validate_disk_parameters(hvparams: HvParams, kvm_version: tuple[str, int, int, int]) -> bool:
    """QEMU is new enough for io_uring. The version is the text, then its three numbers."""
    text, *numbers = kvm_version
    io_uring = hvparams[constants.HV_KVM_DISK_AIO] == _AIO_IO_URING
    if io_uring and tuple(numbers) < _IO_URING_SINCE:
        raise errors.HypervisorError(
            f"{constants.HV_KVM_DISK_AIO}={_AIO_IO_URING} needs QEMU"
            f" {'.'.join(map(str, _IO_URING_SINCE))} or later, this node has {text}"
        )
    return True


def validate_qemu(hvparams: HvParams, facts: QemuFacts) -> bool:
    """QEMU has what the parameters ask for: kinds of disks, cards, CPU, USB devices."""
    for refusal in possible.refusals(hvparams, facts):
        raise errors.HypervisorError(refusal)
    return True


def validate_all(hvparams: HvParams, facts: QemuFacts) -> None:
    """Run every check against this node; ``facts`` are those of the QEMU in ``hvparams``."""
    validate_security_model(hvparams)
    validate_vnc_parameters(hvparams)
    # Always asked, and so a program that is no QEMU is found out.
    validate_spice_parameters(hvparams, facts.help)
    validate_disk_parameters(hvparams, facts.version)
    beside_qemu.check_user(hvparams)
    beside_qemu.check_vnc_folder(hvparams)
    beside_qemu.check_keymap(hvparams)
    beside_qemu.check_cpu(hvparams)
    validate_qemu(hvparams, facts)
    if hvparams[constants.HV_KVM_MACHINE_VERSION]:
        validate_machine_version(hvparams, facts.machines)
        for warning in validate_q35_capability(hvparams, facts.machines):
            logging.warning("%s", warning)
