"""The hypervisor parameters of KVM, and what each may be on its own.

A check is Ganeti's tuple: whether the parameter is required, a test of its syntax and the error,
a test on the node and the error. What depends on other parameters is in `validation`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from ganeti import constants
from ganeti.hypervisor import hv_base

from . import boot_type, generation, unknown_parameters

if TYPE_CHECKING:
    from ganeti.hypervisor.hv_base import Check


def _is_ip_version(value: object) -> bool:
    return value in {constants.IFACE_NO_IP_VERSION_SPECIFIED, *constants.VALID_IP_VERSIONS}


def _can_be_reserved(pci_slots: int) -> bool:
    return bool(0 <= pci_slots <= constants.QEMU_PCI_SLOTS)


def _is_off_or_above_all(percent: int) -> bool:
    return bool(percent == 0 or percent > 100)


_IP_VERSION_CHECK = (False, _is_ip_version, "must be 4, 6, or 0 for either", None, None)
_PCI_RESERVATION_CHECK = (
    False,
    _can_be_reserved,
    f"must be a number of PCI slots from 0 to {constants.QEMU_PCI_SLOTS}",
    None,
    None,
)

_ON_ITS_OWN: dict[str, Check] = {
    constants.HV_KVM_PATH: hv_base.REQ_FILE_CHECK,
    constants.HV_KERNEL_PATH: hv_base.OPT_FILE_CHECK,
    constants.HV_INITRD_PATH: hv_base.OPT_FILE_CHECK,
    constants.HV_KVM_FLOPPY_IMAGE_PATH: hv_base.OPT_FILE_CHECK,
    constants.HV_KVM_SPICE_PASSWORD_FILE: hv_base.OPT_FILE_CHECK,
    constants.HV_VNC_PASSWORD_FILE: hv_base.OPT_FILE_CHECK,
    constants.HV_CDROM_IMAGE_PATH: hv_base.OPT_FILE_OR_URL_CHECK,
    constants.HV_KVM_CDROM2_IMAGE_PATH: hv_base.OPT_FILE_OR_URL_CHECK,
    constants.HV_MEM_PATH: hv_base.OPT_DIR_CHECK,
    constants.HV_VNC_X509: hv_base.OPT_DIR_CHECK,
    constants.HV_CPU_CORES: hv_base.OPT_NONNEGATIVE_INT_CHECK,
    constants.HV_CPU_SOCKETS: hv_base.OPT_NONNEGATIVE_INT_CHECK,
    constants.HV_CPU_THREADS: hv_base.OPT_NONNEGATIVE_INT_CHECK,
    constants.HV_MIGRATION_BANDWIDTH: hv_base.REQ_NONNEGATIVE_INT_CHECK,
    constants.HV_MIGRATION_DOWNTIME: hv_base.REQ_NONNEGATIVE_INT_CHECK,
    constants.HV_MIGRATION_MODE: hv_base.MIGRATION_MODE_CHECK,
    constants.HV_MIGRATION_PORT: hv_base.REQ_NET_PORT_CHECK,
    constants.HV_CPU_MASK: hv_base.OPT_MULTI_CPU_MASK_CHECK,
    constants.HV_VIRTIO_NET_QUEUES: hv_base.OPT_VIRTIO_NET_QUEUES_CHECK,
    constants.HV_KVM_SPICE_IP_VERSION: _IP_VERSION_CHECK,
    constants.HV_KVM_PCI_RESERVATIONS: _PCI_RESERVATION_CHECK,
}

_REQUIRED_ONE_OF: dict[str, Collection[object]] = {
    constants.HV_BOOT_ORDER: constants.HT_KVM_VALID_BO_TYPES,
    constants.HV_DISK_CACHE: constants.HT_VALID_CACHE_TYPES,
    constants.HV_DISK_TYPE: constants.HT_KVM_VALID_DISK_TYPES,
    constants.HV_KVM_SCSI_CONTROLLER_TYPE: constants.HT_KVM_VALID_SCSI_CONTROLLER_TYPES,
    constants.HV_NIC_TYPE: constants.HT_KVM_VALID_NIC_TYPES,
    constants.HV_REBOOT_BEHAVIOR: constants.REBOOT_BEHAVIORS,
    constants.HV_SECURITY_MODEL: constants.HT_KVM_VALID_SM_TYPES,
}

_LOSSY = constants.HT_KVM_SPICE_VALID_LOSSY_IMG_COMPR_OPTIONS
_LOSSLESS = constants.HT_KVM_SPICE_VALID_LOSSLESS_IMG_COMPR_OPTIONS
_STREAMING = constants.HT_KVM_SPICE_VALID_VIDEO_STREAM_DETECTION_OPTIONS

_EMPTY_OR_ONE_OF: dict[str, Collection[object]] = {
    constants.HV_DISK_DISCARD: constants.HT_VALID_DISCARD_TYPES,
    constants.HV_KVM_CDROM_DISK_TYPE: constants.HT_KVM_VALID_DISK_TYPES,
    constants.HV_KVM_DISK_AIO: constants.HT_KVM_VALID_AIO_TYPES,
    constants.HV_KVM_FLAG: constants.HT_KVM_FLAG_VALUES,
    constants.HV_KVM_SPICE_JPEG_IMG_COMPR: _LOSSY,
    constants.HV_KVM_SPICE_LOSSLESS_IMG_COMPR: _LOSSLESS,
    constants.HV_KVM_SPICE_STREAMING_VIDEO_DETECTION: _STREAMING,
    constants.HV_KVM_SPICE_ZLIB_GLZ_IMG_COMPR: _LOSSY,
    constants.HV_USB_MOUSE: constants.HT_KVM_VALID_MOUSE_TYPES,
}

# Any value of the type that Ganeti's constants say; some are checked together with others.
_FREE = (
    constants.HV_ACPI,
    constants.HV_CPU_TYPE,
    constants.HV_KERNEL_ARGS,
    constants.HV_KEYMAP,
    constants.HV_KVM_EXTRA,
    constants.HV_KVM_MACHINE_VERSION,
    constants.HV_KVM_MIGRATION_CAPS,
    constants.HV_KVM_SPICE_AUDIO_COMPR,
    constants.HV_KVM_SPICE_BIND,
    constants.HV_KVM_SPICE_TLS_CIPHERS,
    constants.HV_KVM_SPICE_USE_TLS,
    constants.HV_KVM_SPICE_USE_VDAGENT,
    constants.HV_KVM_USER_SHUTDOWN,
    constants.HV_KVM_USE_CHROOT,
    constants.HV_ROOT_PATH,
    constants.HV_SECURITY_DOMAIN,
    constants.HV_SERIAL_CONSOLE,
    constants.HV_SERIAL_SPEED,
    constants.HV_SOUNDHW,
    constants.HV_USB_DEVICES,
    constants.HV_USE_GUEST_AGENT,
    constants.HV_USE_LOCALTIME,
    constants.HV_VGA,
    constants.HV_VHOST_NET,
    constants.HV_VNC_BIND_ADDRESS,
    constants.HV_VNC_TLS,
    constants.HV_VNC_X509_VERIFY,
    constants.HV_VNET_HDR,
)

# What upstream has added since 3.1: the names of the parameter and of its check, where Ganeti has
# them.
_OF_LATER_GANETIS = {
    "HV_VIRTIO_DISK_IOTHREADS": "OPT_VIRTIO_DISK_IOTHREADS_CHECK",
    "HV_DISK_BPS": "OPT_NONNEGATIVE_INT_CHECK",
    "HV_DISK_IOPS": "OPT_NONNEGATIVE_INT_CHECK",
    "HV_OVMF_CODE": "NO_CHECK",
    "HV_OVMF_VARS": "NO_CHECK",
    "HV_FAIL_ON_NO_HP": "NO_CHECK",
    "HV_KVM_QMP_TIMEOUT": "OPT_NONNEGATIVE_INT_CHECK",
    "HV_MIGRATION_DOWNTIME_MAX": "OPT_NONNEGATIVE_INT_CHECK",
}

# Those for which ``hv_base`` has no check.
_CHECKED_HERE: dict[str, Check] = {
    "HV_MIGRATION_CANCEL_THRESHOLD": (
        False,
        _is_off_or_above_all,
        "must be 0 (never), or above 100 per cent of the guest's memory",
        None,
        None,
    ),
}
if boot_type.PARAMETER:
    _REQUIRED_ONE_OF[boot_type.PARAMETER] = constants.HT_KVM_VALID_BOOT_MODES

_KNOWN: dict[str, Check] = {
    **{
        getattr(constants, name): check
        for name, check in _CHECKED_HERE.items()
        if hasattr(constants, name)
    },
    **{
        getattr(constants, name): getattr(hv_base, check)
        for name, check in _OF_LATER_GANETIS.items()
        if hasattr(constants, name)
    },
    **(
        {generation.MEMORY_METHOD: hv_base.ParamInSet(True, ["none", "virtio-mem"])}
        if generation.MEMORY_METHOD
        else {}
    ),
    **_ON_ITS_OWN,
    **{name: hv_base.ParamInSet(True, values) for name, values in _REQUIRED_ONE_OF.items()},
    **{name: hv_base.ParamInSet(False, values) for name, values in _EMPTY_OR_ONE_OF.items()},
    **dict.fromkeys(_FREE, hv_base.NO_CHECK),
}

#: Parameters of this Ganeti that came after this version of ours.
UNKNOWN = unknown_parameters.names(_KNOWN)

#: Parameter -> check, as `hv_base.BaseHypervisor` wants it.
PARAMETERS: dict[str, Check] = {**_KNOWN, **unknown_parameters.checks(UNKNOWN, hv_base.NO_CHECK)}
