"""Names of interfaces become addresses."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from unittest import mock

import pytest
from ganeti import errors, netutils, ssconf

from ganeti_hv_kvm.hv_kvm.command_line import Display
from ganeti_hv_kvm.hv_kvm.host import bind_address
from unit.hv_kvm.command_line import samples

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


@pytest.fixture
def interface():
    """Gives the interface "net0" these addresses, and a cluster of that IP version."""
    with (
        mock.patch.object(netutils, "IsValidInterface", "net0".__eq__),
        mock.patch.object(netutils, "GetInterfaceIpAddresses") as addresses,
        mock.patch.object(ssconf, "SimpleStore") as store,
    ):

        def give(four: list[str], six: list[str], cluster: int = 4) -> None:
            addresses.return_value = {4: four, 6: six}
            store.return_value = SimpleNamespace(GetPrimaryIPFamily=lambda: FAMILIES[cluster])

        give([], [])
        give.unknown = lambda: addresses.configure_mock(return_value=None)
        yield give


@pytest.mark.parametrize("bind", ["127.0.0.1", "::1", "/run/vnc", "../lo", "."])
def test_addresses_and_folders_stay(bind: str) -> None:
    assert bind_address.resolve(samples.instance(vnc_bind_address=bind).hvparams) == Display(
        vnc=bind
    )


def test_the_real_loopback_interface() -> None:
    with mock.patch.object(ssconf, "SimpleStore") as store:
        store.return_value.GetPrimaryIPFamily.return_value = socket.AF_INET
        assert bind_address.resolve_vnc("lo") == "127.0.0.1"
        assert bind_address.resolve_spice("lo", 4) == ("127.0.0.1", 4)


def test_vnc_prefers_ipv4(interface) -> None:
    interface(["192.0.2.1", "192.0.2.2"], ["2001:db8::1"])
    assert bind_address.resolve_vnc("net0") == "192.0.2.1"
    interface([], ["fe80::1", "2001:db8::1"])
    assert bind_address.resolve_vnc("net0") == "2001:db8::1"


def test_vnc_without_an_address(interface) -> None:
    interface([], ["fe80::1"])
    with pytest.raises(errors.HypervisorError, match="VNC: interface net0 has no usable address"):
        bind_address.resolve_vnc("net0")


@pytest.mark.parametrize(
    ("four", "six", "wanted", "cluster", "found"),
    [
        (["192.0.2.1"], [], 0, 6, ("192.0.2.1", 4)),
        ([], ["2001:db8::1"], 0, 4, ("2001:db8::1", 6)),
        (["192.0.2.1"], ["2001:db8::1"], 0, 4, ("192.0.2.1", 4)),
        (["192.0.2.1"], ["2001:db8::1"], 0, 6, ("2001:db8::1", 6)),
        (["192.0.2.1"], ["2001:db8::1"], 6, 4, ("2001:db8::1", 6)),
    ],
)
def test_spice_version(interface, four, six, wanted, cluster, found) -> None:
    interface(four, six, cluster)
    hvp = samples.instance(spice_bind="net0", spice_ip_version=wanted).hvparams

    assert bind_address.resolve(hvp) == Display(spice=found[0], spice_ip_version=found[1])


@pytest.mark.parametrize(("wanted", "kind"), [(0, "usable"), (6, "IPv6")])
def test_spice_without_an_address(interface, wanted: int, kind: str) -> None:
    if wanted:
        interface(["192.0.2.1"], [])
    with pytest.raises(errors.HypervisorError, match=f"net0 has no {kind} address"):
        bind_address.resolve_spice("net0", wanted)


def test_an_interface_that_cannot_be_asked(interface) -> None:
    interface.unknown()
    with pytest.raises(errors.HypervisorError, match="cannot be found out"):
        bind_address.resolve_vnc("net0")


def test_an_address_of_spice_has_no_version() -> None:
    assert bind_address.resolve_spice("2001:db8::1", 6) == ("2001:db8::1", None)


def test_no_screen() -> None:
    assert bind_address.resolve(samples.instance().hvparams) == Display()
