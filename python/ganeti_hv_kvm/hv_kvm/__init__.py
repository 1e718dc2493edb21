"""Stands in for Ganeti's ``ganeti.hypervisor.hv_kvm``.

The names here are those of the flat module of Ganeti 2.6 and of the packages of 3.0 and 3.1:
Ganeti's tests and site code reach them, and replace them, in this namespace.
"""

# ruff: noqa: E402, F401, N812

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .host.head_request import HeadRequest

# Names that are found when they are asked for. KVMHypervisor: whoever imports this package before
# ``ganeti.hypervisor`` makes the latter ask for it while this module is still being built.
# HeadRequest: it needs all of Python's web client.
_ASKED_FOR = {"KVMHypervisor": ".hypervisor", "HeadRequest": ".host.head_request"}


# must stay above the imports, for the same reason
def __getattr__(name: str) -> Any:
    if name in _ASKED_FOR:
        return getattr(import_module(_ASKED_FOR[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ASKED_FOR})


import ganeti.hypervisor
from ganeti import constants, errors, netutils, objects, pathutils, serializer, utils
from ganeti.hypervisor import hv_base

from . import bus_manager, firmware, kvm_runtime, kvm_utils, monitor, netdev, types, validation
from .bus_manager import BusAllocatorManager
from .command_line import START_PAUSED as _KVM_START_PAUSED_FLAG
from .command_line.memory import KVM_VIRTIO_MEM_MAX_SIZE
from .devices.places import (
    _DEVICE_BUS,
    _DEVICE_DRIVER,
    _DEVICE_RUNTIME_INDEX,
    _DEVICE_TYPE,
    _HOTPLUGGABLE_DEVICE_TYPES,
    _PCI_BUS,
    _SCSI_BUS,
    _GenerateDeviceHVInfo,
    _GenerateDeviceHVInfoStr,
    _GenerateDeviceKVMId,
    _GetDriveURI,
    _GetExistingDeviceInfo,
)
from .devices.q35 import (
    _Q35_FN_BALLOON,
    _Q35_FN_QGA_VSERIAL,
    _Q35_FN_SCSI_CTRL,
    _Q35_FN_SOUND,
    _Q35_FN_SPICE_VSERIAL,
    _Q35_FN_USB_XHCI,
    _Q35StaticAddr,
)
from .host.remote_image import is_reachable as _CheckUrl
from .hypervisor import _KVM_NETWORK_SCRIPT, KVMHypervisor
from .kvm_runtime import (
    _KVM_DISKS_RUNTIME_INDEX,
    _KVM_NICS_RUNTIME_INDEX,
    KVMRuntime,
    _AnalyzeSerializedRuntime,
    _UpgradeSerializedRuntime,
)
from .lifecycle.guest_access import _with_qmp
from .migration.capabilities import DELIMITER as _MIGRATION_CAPS_DELIM
from .migration.status import POSTCOPY_AFTER_PASSES as _POSTCOPY_SYNC_COUNT_THRESHOLD
from .monitor import (
    MonitorSocket,
    QmpCommandNotSupported,
    QmpConnection,
    QmpEvent,
    QmpMessage,
    QmpTimeoutError,
)
from .netdev import (
    IFF_MULTI_QUEUE,
    IFF_NO_PI,
    IFF_ONE_QUEUE,
    IFF_TAP,
    IFF_VNET_HDR,
    TUNGETFEATURES,
    TUNGETIFF,
    TUNSETIFF,
    OpenTap,
    _GetTunFeatures,
    _OpenTap,
    _ProbeTapMqVirtioNet,
    _ProbeTapVnetHdr,
)
from .validation import (
    check_boot_parameters,
    check_console_parameters,
    check_disk_cache_parameters,
    check_security_model,
    check_spice_parameters,
    check_vnc_parameters,
    is_q35,
    uses_direct_kernel,
    uses_ovmf,
    validate_disk_parameters,
    validate_machine_version,
    validate_migration_parameters,
    validate_q35_capability,
    validate_security_model,
    validate_spice_parameters,
    validate_vnc_parameters,
)

# What is wrong with psutil, in the original's words for nothing: pinning does without it here.
psutil_err = "<no error>"
