"""Where VNC and SPICE are to listen: names of network interfaces become addresses of this node."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from ganeti import constants, errors, netutils, ssconf

from ganeti_hv_kvm.hv_kvm.command_line import Display
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import number, text_or_none


def is_interface(name: str) -> bool:
    """Whether this node has an interface of that name; Ganeti's check fails for a path."""
    is_name = "/" not in name and name not in (".", "..")
    return is_name and bool(netutils.IsValidInterface(name))


def _usable(address: str) -> bool:
    """Whether a server can be bound to it; link-local IPv6 would need the interface's name too."""
    parsed = ipaddress.ip_address(address)
    return not (parsed.version == constants.IP6_VERSION and parsed.is_link_local)


def _addresses(protocol: str, interface: str) -> dict[int, list[str]]:
    """The interface's addresses by IP version; raises HypervisorError if they are not known."""
    found = netutils.GetInterfaceIpAddresses(interface)
    if found is None:
        raise errors.HypervisorError(
            f"{protocol}: the addresses of interface {interface} cannot be found out"
        )
    return {
        version: [address for address in found.get(version, ()) if _usable(address)]
        for version in (constants.IP4_VERSION, constants.IP6_VERSION)
    }


def _no_address(protocol: str, interface: str, version: int | None = None) -> Exception:
    kind = f"IPv{version}" if version else "usable"
    error: Exception = errors.HypervisorError(
        f"{protocol}: interface {interface} has no {kind} address to listen on"
    )
    return error


def resolve_vnc(bind: str) -> str:
    """The address, or folder, for VNC: an interface's first IPv4, else IPv6 address."""
    if not is_interface(bind):
        return bind
    found = _addresses("VNC", bind)
    for version in (constants.IP4_VERSION, constants.IP6_VERSION):
        if found[version]:
            return found[version][0]
    raise _no_address("VNC", bind)


def _choose_version(found: Mapping[int, list[str]]) -> int | None:
    """The only IP version there is, or the cluster's own if there are both."""
    present = [version for version, addresses in found.items() if addresses]
    if len(present) > 1:
        family = ssconf.SimpleStore().GetPrimaryIPFamily()
        return int(netutils.IPAddress.GetVersionFromAddressFamily(family))
    return present[0] if present else None


def resolve_spice(bind: str, wanted_version: int) -> tuple[str, int | None]:
    """The address for SPICE, and its IP version if it was chosen from an interface's."""
    if not is_interface(bind):
        return bind, None
    found = _addresses("SPICE", bind)
    specified = wanted_version != constants.IFACE_NO_IP_VERSION_SPECIFIED
    version = wanted_version if specified else _choose_version(found)
    if version is None or not found[version]:
        raise _no_address("SPICE", bind, version)
    return found[version][0], version


def resolve(hvp: Mapping[str, object]) -> Display:
    """Where VNC, or else SPICE, listens by the hypervisor parameters.

    Raises HypervisorError if a named interface has no fitting address.
    """
    if vnc := text_or_none(hvp, constants.HV_VNC_BIND_ADDRESS):
        return Display(vnc=resolve_vnc(vnc))
    if spice := text_or_none(hvp, constants.HV_KVM_SPICE_BIND):
        address, version = resolve_spice(spice, number(hvp, constants.HV_KVM_SPICE_IP_VERSION))
        return Display(spice=address, spice_ip_version=version)
    return Display()
