"""What a NIC says of its MTU when it is born."""

from __future__ import annotations

import builtins
import io
from typing import Any

import pytest
from ganeti import constants, errors, objects

from ganeti_hv_kvm.hv_kvm.ganeti.guest_options import Options
from ganeti_hv_kvm.hv_kvm.host import nic_mtu

BRIDGES = {"br0": "1500\n", "jumbo": "9000\n", "vxlan": "1450\n", "odd": "many\n", "tiny": "40\n"}


@pytest.fixture(autouse=True)
def bridges(monkeypatch):
    """The node has these; their names are looked up where the kernel has them."""
    original = builtins.open

    def opened(path: Any, *args: Any, **kwargs: Any) -> Any:
        folder, _, rest = str(path).partition("/sys/class/net/")
        if folder or not rest:
            return original(path, *args, **kwargs)
        name = rest.removesuffix("/mtu")
        if name not in BRIDGES:
            raise FileNotFoundError(path)
        return io.StringIO(BRIDGES[name])

    monkeypatch.setattr(builtins, "open", opened)
    monkeypatch.delenv("GANETI_HV_KVM_NIC_MTU", raising=False)


def nic(link: str = "br0", mode: str = "bridged", driver: str = "virtio-net-pci") -> Any:
    parameters = {constants.NIC_MODE: mode, constants.NIC_LINK: link}
    return objects.NIC(mac="aa:00:00:00:00:01", nicparams=parameters, hvinfo={"driver": driver})


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("br0", {}),
        ("jumbo", {"host_mtu": 9000}),
        ("vxlan", {"host_mtu": 1450}),
        ("odd", {}),
        ("tiny", {}),
        ("gone", {}),
        ("../../jumbo", {}),
        ("", {}),
    ],
)
def test_by_itself(link, said):
    assert nic_mtu.at_birth(nic(link), Options()) == said


@pytest.mark.parametrize("mode", ["openvswitch", "bridged"])
def test_modes_with_a_link(mode):
    assert nic_mtu.at_birth(nic("jumbo", mode), Options()) == {"host_mtu": 9000}


def test_routed():
    assert nic_mtu.at_birth(nic("jumbo", "routed"), Options()) == {}
    assert nic_mtu.at_birth(nic("", "routed"), Options({"mtu": 1400})) == {"host_mtu": 1400}


@pytest.mark.parametrize(("wanted", "said"), [("off", {}), ("auto", {"host_mtu": 9000})])
def test_words(wanted, said):
    assert nic_mtu.at_birth(nic("jumbo"), Options({"mtu": wanted})) == said


def test_a_number():
    assert nic_mtu.at_birth(nic("jumbo"), Options({"mtu": 9000})) == {"host_mtu": 9000}
    assert nic_mtu.at_birth(nic("br0"), Options({"mtu": 1500})) == {"host_mtu": 1500}
    with pytest.raises(errors.HypervisorError, match="br0 has an MTU of 1500, and would drop"):
        nic_mtu.at_birth(nic("br0"), Options({"mtu": 1501}))


def test_another_model():
    assert nic_mtu.at_birth(nic("jumbo", driver="e1000"), Options()) == {}
    assert nic_mtu.at_birth(nic("jumbo", driver="e1000"), Options({"mtu": "auto"})) == {}
    with pytest.raises(errors.HypervisorError, match="only a NIC of the type paravirtual"):
        nic_mtu.at_birth(nic("jumbo", driver="e1000"), Options({"mtu": 9000}))


def test_switched_off_for_all(monkeypatch):
    monkeypatch.setenv("GANETI_HV_KVM_NIC_MTU", "off")
    assert nic_mtu.at_birth(nic("jumbo"), Options()) == {}
    assert nic_mtu.at_birth(nic("jumbo"), Options({"mtu": "auto"})) == {"host_mtu": 9000}


def test_a_smaller_link():
    born = nic("br0")
    assert nic_mtu.too_small_link(born) is None
    born.hvinfo["host_mtu"] = 9000
    assert "born with an MTU of 9000, but br0 has 1500" in str(nic_mtu.too_small_link(born))
    born.nicparams[constants.NIC_LINK] = "jumbo"
    assert nic_mtu.too_small_link(born) is None
    born.nicparams[constants.NIC_LINK] = "gone"
    assert nic_mtu.too_small_link(born) is None
