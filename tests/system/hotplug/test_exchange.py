"""A NIC is changed: whatever fails, the guest has the old one or the new one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.hypervisor import KVMHypervisor
from harness import instance
from harness.proxy import COMMAND, Proxy, refuse
from system.hotplug.running import Running
from system.hotplug.test_unplug import paused

pytestmark = [pytest.mark.rather_3_1, pytest.mark.one_in(2)]

_NEW_MAC = "aa:00:00:99:99:99"


def other_nic() -> Any:
    nic = instance.nic(1)
    nic.mac = _NEW_MAC
    return nic


@pytest.fixture
def plugged(running: Running) -> Iterator[Running]:
    """The guest with a second NIC, which goes with the test."""
    running.add_nic()
    yield running
    running.remove_nic(instance.nic(1))


@contextmanager
def script_fails(monkeypatch: pytest.MonkeyPatch, *, calls: int = 9) -> Iterator[list[str]]:
    """The network script fails so many times; gives the MACs that it was called for."""
    macs: list[str] = []

    def fail(_instance: Any, _seq: int, nic: Any, _tap: str) -> None:
        macs.append(nic.mac)
        if len(macs) <= calls:
            raise errors.HypervisorError("no road to this network")

    with monkeypatch.context() as patch:
        patch.setattr(KVMHypervisor, "_ConfigureNIC", staticmethod(fail))
        yield macs


def test_a_network_script_that_fails_changes_nothing(plugged, monkeypatch):
    """Fault: the old NIC is gone, cannot be given back, and a second change finds none."""
    before = plugged.state()
    changed = other_nic()
    with script_fails(monkeypatch) as macs:
        for _ in range(2):
            with pytest.raises(errors.HotplugError, match="no road"):
                plugged.modify_nic(changed)
            assert plugged.state() == before
            assert changed.hvinfo is None
    assert set(macs) == {_NEW_MAC}
    plugged.modify_nic(changed)
    plugged.sees(lambda _, nics: _NEW_MAC in nics)


def test_without_a_tap_nothing_changes(plugged):
    before = plugged.state()
    subprocess.run(["mount", "--bind", "/dev/null", "/dev/net/tun"], check=True)
    try:
        with pytest.raises(errors.HotplugError):
            plugged.modify_nic(other_nic())
    finally:
        subprocess.run(["umount", "/dev/net/tun"], check=True)
    assert plugged.state() == before


def test_a_guest_that_does_not_let_go_keeps_the_old_one(plugged):
    before = plugged.state()
    with paused(plugged):
        for _ in range(2):
            with pytest.raises(errors.HotplugError, match="did not release"):
                plugged.modify_nic(other_nic())
            assert plugged.state() == before
    plugged.modify_nic(other_nic())  # it may have let go meanwhile
    plugged.sees(lambda _, nics: _NEW_MAC in nics)


def test_what_can_neither_be_added_nor_given_back_is_added_by_the_next_call(plugged, monkeypatch):
    changed = other_nic()

    def fail_from_now(connection, message):
        failing.append(True)
        return refuse("injected")(connection, message)

    failing: list[bool] = []
    real = KVMHypervisor._ConfigureNIC

    def script(made: Any, seq: int, nic: Any, tap: str) -> None:
        if failing:
            raise errors.HypervisorError("no road to this network")
        real(made, seq, nic, tap)

    with monkeypatch.context() as patch:
        patch.setattr(KVMHypervisor, "_ConfigureNIC", staticmethod(script))
        with Proxy(plugged.qmp) as proxy:
            proxy.fail(COMMAND, "device_add", fail_from_now)
            with pytest.raises(errors.HotplugError, match=r"injected.*is without it.*no road"):
                plugged.modify_nic(changed)
    plugged.sees(lambda _, nics: "eth1" not in nics)
    plugged.modify_nic(changed)
    plugged.sees(lambda _, nics: _NEW_MAC in nics)


def test_a_routes_way_back_to_the_old_one(plugged, monkeypatch):
    """One address, one route: the script has led it to the new NIC already."""
    before = plugged.state()
    runtime = plugged.hypervisor._LoadKVMRuntime(plugged.made)

    def store(mode: str) -> None:
        for nic in runtime.kvm_nics:
            nic.nicparams[constants.NIC_MODE] = mode
        plugged.hypervisor._SaveKVMRuntime(plugged.made, runtime)

    store(constants.NIC_MODE_ROUTED)
    with script_fails(monkeypatch, calls=1) as macs, pytest.raises(errors.HotplugError):
        plugged.modify_nic(other_nic())
    assert macs == [_NEW_MAC, instance.nic(1).mac]
    store(constants.NIC_MODE_BRIDGED)
    assert plugged.state() == before
