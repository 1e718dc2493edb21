"""Names that Ganeti's tests and site code reach, or put another in the place of."""

from __future__ import annotations

import ganeti.utils
import pytest
from ganeti import errors

from ganeti_hv_kvm import hv_kvm


@pytest.fixture
def hypervisor(tmp_path, monkeypatch):
    """An object whose conf folder has two files of other endings."""
    made = object.__new__(hv_kvm.KVMHypervisor)
    for name in ("a.conf", "b.runtime"):
        (tmp_path / name).touch()
    monkeypatch.setattr(hv_kvm.KVMHypervisor, "_CONF_DIR", str(tmp_path))
    return made


def info(name):
    return (name, 7, 128, 1, 0, 0)


def test_a_listing_goes_through_a_replaced_get_instance_info(hypervisor, monkeypatch):
    monkeypatch.setattr(hv_kvm.KVMHypervisor, "GetInstanceInfo", lambda _self, name: info(name))
    assert hypervisor.GetAllInstancesInfo() == [info("a"), info("b")]


def test_it_survives_an_os_error_of_one_and_says_so(hypervisor, monkeypatch, caplog):
    def get(_self, name):
        if name == "a":
            raise OSError("no such monitor")
        return info(name)

    monkeypatch.setattr(hv_kvm.KVMHypervisor, "GetInstanceInfo", get)
    assert hypervisor.GetAllInstancesInfo() == [info("b")]
    assert "no such monitor" in caplog.text


def test_a_doubt_is_not_left_out(hypervisor, monkeypatch):
    def get(_self, name):
        raise errors.HypervisorError(name)

    monkeypatch.setattr(hv_kvm.KVMHypervisor, "GetInstanceInfo", get)
    with pytest.raises(errors.HypervisorError):
        hypervisor.GetAllInstancesInfo()


def test_ganetis_own_modules_are_reached_through_ours(monkeypatch):
    monkeypatch.setattr("ganeti_hv_kvm.hv_kvm.utils.RunCmd", None)
    assert ganeti.utils.RunCmd is None
    for name in (
        "constants",
        "errors",
        "pathutils",
        "objects",
        "serializer",
        "BusAllocatorManager",
    ):
        assert hasattr(hv_kvm, name)
