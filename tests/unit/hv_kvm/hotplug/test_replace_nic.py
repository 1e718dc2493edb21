"""A NIC that changes: another takes its place, and a failure gives the old one back."""

from __future__ import annotations

from pathlib import Path

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.hotplug import nic as nics
from ganeti_hv_kvm.hv_kvm.hotplug import replace_nic
from ganeti_hv_kvm.hv_kvm.hotplug.device import DISK, NIC
from unit.hv_kvm.command_line import samples
from unit.hv_kvm.node_of_one import instance, nic

OLD = "nic-00000000-1111-4222"
_READY = ["open tap", "network script 0 tap0"]
_SWAP = [*_READY, "device_del", "netdev_del"]


def changed(mode=constants.NIC_MODE_BRIDGED):
    """The NIC of the guest, with another MAC."""
    made = nic(0)
    made.mac = "aa:00:00:99:99:99"
    made.nicparams = {**made.nicparams, constants.NIC_MODE: mode}
    return made


def macs(node):
    return [one.mac for one in node.stored().kvm_nics]


def test_all_is_ready_before_the_guest_is_asked(node):
    guest = node.running(instance(nics=1))
    before = node.stored().kvm_nics[0].hvinfo
    replace_nic.modify(guest, NIC, changed(), 0)
    assert [done for done in node.log if not done.startswith("undo")] == [
        *(*_SWAP, "getfd", "netdev_add", "device_add", "save")
    ]
    assert macs(node) == ["aa:00:00:99:99:99"]
    assert node.stored().kvm_nics[0].hvinfo == before
    assert Path(node.files.nic_file(0)).read_text() == "tap0"
    assert node.qemu.devices == node.qemu.netdevs == {OLD}
    assert node.are_fds_closed()


@pytest.mark.parametrize("what", ["open tap", "network script"])
def test_what_cannot_be_made_ready_costs_the_guest_nothing(node, what):
    guest = node.running(instance(nics=1))
    node.failing.add(what)
    with pytest.raises(errors.HotplugError, match=f"{what}: it fails"):
        replace_nic.modify(guest, NIC, changed(), 0)
    assert "device_del" not in node.log
    assert macs(node) == ["aa:00:00:11:22:00"]


def test_a_guest_that_refuses_keeps_its_nic(node):
    guest = node.running(instance(nics=1))
    node.qemu.obeys = False
    made = changed()
    with pytest.raises(errors.HotplugError, match="refuses to release"):
        replace_nic.modify(guest, NIC, made, 0)
    assert node.log == [*_READY, "device_del", "undo network 0 tap0"]
    assert macs(node) == ["aa:00:00:11:22:00"]
    assert Path(node.files.nic_file(0)).read_text() == "gnt-no-tap0"
    assert made.hvinfo == {}


def test_its_route_is_led_back(node, monkeypatch):
    """Where addresses are routed the script has led it to the new TAP device."""
    made = instance(nics=1)
    made.nics[0].nicparams[constants.NIC_MODE] = constants.NIC_MODE_ROUTED
    guest = node.running(made)
    monkeypatch.setattr(nics, "_is_in_use", lambda tap: tap == "gnt-no-tap0")
    node.qemu.obeys = False
    with pytest.raises(errors.HotplugError, match="refuses to release"):
        replace_nic.modify(guest, NIC, changed(constants.NIC_MODE_ROUTED), 0)
    assert node.log[-1] == "network script 0 gnt-no-tap0"


@pytest.mark.parametrize("fault", ["refuse", "lose"])
@pytest.mark.parametrize("command", ["getfd", "netdev_add", "device_add"])
def test_the_old_nic_comes_back(node, command, fault):
    guest = node.running(instance(nics=1))
    getattr(node.qemu, fault)(command)
    with pytest.raises(errors.HotplugError, match="the guest was given its old NIC back"):
        replace_nic.modify(guest, NIC, changed(), 0)
    assert macs(node) == ["aa:00:00:11:22:00"]
    assert node.qemu.devices == node.qemu.netdevs == {OLD}
    told = [arguments for name, arguments in node.qemu.told if name == "device_add"]
    assert told[-1]["mac"] == "aa:00:00:11:22:00"
    assert node.are_fds_closed()


def test_that_it_does_not_come_back_is_said_and_the_change_can_be_made_again(node):
    guest = node.running(instance(nics=1))
    node.qemu.refuse("netdev_add", times=2)
    with pytest.raises(errors.HotplugError, match="the guest is without it; the change can be"):
        replace_nic.modify(guest, NIC, changed(), 0)
    assert node.qemu.devices == node.qemu.netdevs == set()
    assert macs(node) == []
    replace_nic.modify(guest, NIC, changed(), 0)
    assert macs(node) == ["aa:00:00:99:99:99"]
    assert node.qemu.devices == {OLD}


def test_a_disk_has_nothing_to_change(node):
    guest = node.running(instance(), [samples.disk()])
    replace_nic.modify(guest, DISK, samples.disk()[0], 0)
    assert node.log == []
