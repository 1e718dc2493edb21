"""TAP devices and QMP for Ganeti's KVM hypervisor, and a stand-in for its module.

The names below need no Ganeti. They are looked up on first use: each Python start reads this file
once the package is enabled for Ganeti, so importing it must cost next to nothing.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ganeti_hv_kvm._native import IFF_MULTI_QUEUE as IFF_MULTI_QUEUE
    from ganeti_hv_kvm._native import IFF_NO_PI as IFF_NO_PI
    from ganeti_hv_kvm._native import IFF_ONE_QUEUE as IFF_ONE_QUEUE
    from ganeti_hv_kvm._native import IFF_TAP as IFF_TAP
    from ganeti_hv_kvm._native import IFF_VNET_HDR as IFF_VNET_HDR
    from ganeti_hv_kvm._native import TUNGETFEATURES as TUNGETFEATURES
    from ganeti_hv_kvm._native import TUNGETIFF as TUNGETIFF
    from ganeti_hv_kvm._native import TUNSETIFF as TUNSETIFF
    from ganeti_hv_kvm._native import FleetAnswer as FleetAnswer
    from ganeti_hv_kvm._native import OpenTap as OpenTap
    from ganeti_hv_kvm._native import QmpConnection as QmpConnection
    from ganeti_hv_kvm._native import QmpEvent as QmpEvent
    from ganeti_hv_kvm._native import QmpEvents as QmpEvents
    from ganeti_hv_kvm._native import QmpMessage as QmpMessage
    from ganeti_hv_kvm._native import QmpTimestamp as QmpTimestamp
    from ganeti_hv_kvm._native import _GetTunFeatures as _GetTunFeatures
    from ganeti_hv_kvm._native import _OpenTap as _OpenTap
    from ganeti_hv_kvm._native import _ProbeTapMqVirtioNet as _ProbeTapMqVirtioNet
    from ganeti_hv_kvm._native import _ProbeTapVnetHdr as _ProbeTapVnetHdr
    from ganeti_hv_kvm._native import query_fleet as query_fleet
    from ganeti_hv_kvm.errors import HypervisorError as HypervisorError
    from ganeti_hv_kvm.errors import QmpCommandNotSupported as QmpCommandNotSupported
    from ganeti_hv_kvm.errors import QmpConnectError as QmpConnectError
    from ganeti_hv_kvm.errors import QmpError as QmpError
    from ganeti_hv_kvm.errors import QmpHandshakeError as QmpHandshakeError
    from ganeti_hv_kvm.errors import QmpLostError as QmpLostError
    from ganeti_hv_kvm.errors import QmpNotConnectedError as QmpNotConnectedError
    from ganeti_hv_kvm.errors import QmpProtocolError as QmpProtocolError
    from ganeti_hv_kvm.errors import QmpRefusedError as QmpRefusedError
    from ganeti_hv_kvm.errors import QmpTimeoutError as QmpTimeoutError
    from ganeti_hv_kvm.errors import TapError as TapError
    from ganeti_hv_kvm.tap import Tap as Tap

    __version__: str

_NAMES_IN = {
    "_native": (
        "FleetAnswer",
        "IFF_MULTI_QUEUE",
        "IFF_NO_PI",
        "IFF_ONE_QUEUE",
        "IFF_TAP",
        "IFF_VNET_HDR",
        "OpenTap",
        "QmpConnection",
        "QmpEvent",
        "QmpEvents",
        "QmpMessage",
        "QmpTimestamp",
        "TUNGETFEATURES",
        "TUNGETIFF",
        "TUNSETIFF",
        "_GetTunFeatures",
        "_OpenTap",
        "_ProbeTapMqVirtioNet",
        "_ProbeTapVnetHdr",
        "query_fleet",
    ),
    "errors": (
        "HypervisorError",
        "QmpCommandNotSupported",
        "QmpConnectError",
        "QmpError",
        "QmpHandshakeError",
        "QmpLostError",
        "QmpNotConnectedError",
        "QmpProtocolError",
        "QmpRefusedError",
        "QmpTimeoutError",
        "TapError",
    ),
    "tap": ("Tap",),
}
_MODULE_OF = {name: module for module, names in _NAMES_IN.items() for name in names}

__all__ = [*_MODULE_OF]  # noqa: PLE0604


def _find_version() -> str:
    from importlib import metadata

    try:
        return metadata.version("ganeti-hv-kvm")
    except metadata.PackageNotFoundError:
        from ganeti_hv_kvm import _native

        return _native.__version__


def __getattr__(name: str) -> object:
    if name == "__version__":
        value: object = _find_version()
    elif name in _MODULE_OF:
        from importlib import import_module

        if _MODULE_OF[name] in ("_native", "tap"):
            from ganeti_hv_kvm import installation

            installation.check()
        value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF, "__version__"})
