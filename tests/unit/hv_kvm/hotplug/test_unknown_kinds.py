"""Kinds of devices that a newer Ganeti may have: refused, wherever one is looked up."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm import hv_kvm
from ganeti_hv_kvm.hv_kvm.bus_manager import manager_for
from ganeti_hv_kvm.hv_kvm.devices import places

KINDS = ["tpm", "", None]
DEVICE = SimpleNamespace(uuid="1-2-3-4-5", hvinfo={})


@pytest.fixture
def hypervisor():
    return object.__new__(hv_kvm.KVMHypervisor)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "ask",
    [
        lambda one, kind: one.HotAddDevice(SimpleNamespace(name="a"), kind, DEVICE, None, 0),
        lambda one, kind: one.HotDelDevice(SimpleNamespace(name="a"), kind, DEVICE, None, 0),
        lambda one, kind: one.HotModDevice(SimpleNamespace(name="a"), kind, DEVICE, None, 0),
        lambda one, kind: one.VerifyHotplugSupport(
            SimpleNamespace(name="a"), constants.HOTPLUG_ACTION_ADD, kind
        ),
        lambda one, kind: manager_for({}).get_next_allocation(kind, "paravirtual"),
        lambda one, kind: manager_for({}, root_ports=True).get_next_allocation(kind, "e1000"),
        lambda one, kind: places.device_id(kind, DEVICE),
        lambda one, kind: places.device_info(kind, "id", "paravirtual", {}),
        lambda one, kind: hv_kvm._GetExistingDeviceInfo(kind, DEVICE, ([], [], {}, [])),
    ],
    ids=["add", "del", "mod", "verify", "pci", "ports", "id", "hvinfo", "runtime"],
)
def test_it_is_a_hotplug_error_that_names_the_kind(hypervisor, ask, kind):
    with pytest.raises(errors.HotplugError, match=repr(kind)):
        ask(hypervisor, kind)
