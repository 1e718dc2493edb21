"""TAP devices, under the names of Ganeti's ``hv_kvm.netdev``; the work is done in Rust."""

from ganeti_hv_kvm._native import (
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

__all__ = [
    "IFF_MULTI_QUEUE",
    "IFF_NO_PI",
    "IFF_ONE_QUEUE",
    "IFF_TAP",
    "IFF_VNET_HDR",
    "TUNGETFEATURES",
    "TUNGETIFF",
    "TUNSETIFF",
    "OpenTap",
    "_GetTunFeatures",
    "_OpenTap",
    "_ProbeTapMqVirtioNet",
    "_ProbeTapVnetHdr",
]
