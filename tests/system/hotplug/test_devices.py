"""Disks and NICs come, change, grow and go, as the guest itself sees it."""

from __future__ import annotations

import os

import pytest
from ganeti import backend, constants, errors

from ganeti_hv_kvm.hv_kvm.qemu.verbs import devices
from harness import instance
from system.hotplug.running import DISK, NAME, NIC, QEMUS, Running

pytestmark = pytest.mark.rather_3_1

_MIB = 1 << 20
_NEW_MAC = "aa:00:00:99:99:99"


@pytest.fixture(scope="module", params=QEMUS, ids=lambda path: path.parent.name)
def guest_of_file(make_running, request) -> Running:
    return make_running(kvm_path=str(request.param))


def runtime_of(running):
    return running.hypervisor._LoadKVMRuntime(running.made)


def test_a_disk_comes_grows_and_goes(running):
    disk = running.add_disk()
    running.sees(lambda disks, _: "vdb:16MiB" in disks)
    assert [known.uuid for known, _, _ in runtime_of(running).kvm_disks][1] == disk[0].uuid

    os.truncate(disk[1], 32 * _MIB)
    running.hypervisor.ResizeDisk(running.made, disk[0], 32 * _MIB)
    running.sees(lambda disks, _: "vdb:32MiB" in disks)

    assert running.remove_disk(disk) == disk[0].hvinfo
    running.sees(lambda disks, _: "vdb" not in disks)
    assert len(runtime_of(running).kvm_disks) == 1


def test_a_nic_comes_changes_and_goes(running):
    before = set(os.listdir("/sys/class/net"))
    nic = running.add_nic()
    running.sees(lambda _, nics: f"eth1:{nic.mac}" in nics)
    (tap,) = set(os.listdir("/sys/class/net")) - before
    with open(running.hypervisor._InstanceNICFile(NAME, 1)) as recorded:
        assert recorded.read() == tap
    assert os.path.basename(os.readlink(f"/sys/class/net/{tap}/master")) == "br0"

    changed = instance.nic(1)
    changed.mac = _NEW_MAC
    running.modify_nic(changed)
    running.sees(lambda _, nics: f"eth1:{_NEW_MAC}" in nics)
    assert changed.hvinfo == nic.hvinfo
    assert runtime_of(running).kvm_nics[1].mac == _NEW_MAC

    running.remove_nic(changed)
    running.sees(lambda _, nics: "eth1" not in nics)


def test_what_the_guest_was_started_with_goes_and_comes_back(running):
    first_disk, first_nic = running.disks[0], running.made.nics[0]
    where = running.remove_disk(first_disk, 0)
    first_disk[0].hvinfo = where
    running.remove_nic(first_nic, 0)
    running.sees(lambda disks, nics: not disks.strip() and not nics.strip())
    running.add_disk(0, first_disk)
    running.add_nic(0, first_nic)
    running.sees(lambda disks, nics: disks.strip() and first_nic.mac in nics)


def test_ganetis_backend_drives_it(running):
    """What the node daemon does for `gnt-instance modify --disk add` and the like."""
    disk = instance.disk(running.folder, 1)
    call = (running.made, constants.HOTPLUG_ACTION_ADD, DISK, disk[0], disk[1:], 1)
    backend.HotplugSupported(running.made)
    backend.HotplugDevice(*call)
    running.sees(lambda disks, _: "vdb" in disks)
    backend.HotplugDevice(running.made, constants.HOTPLUG_ACTION_REMOVE, DISK, disk[0], None, 1)
    running.sees(lambda disks, _: "vdb" not in disks)


def test_places_stay_free_for_those_in_between(running):
    disks = [running.add_disk(index) for index in (1, 2, 3)]
    running.remove_disk(disks[1], 2)
    again = running.add_disk(2)
    assert again[0].hvinfo == disks[1][0].hvinfo
    running.sees(lambda seen, _: "vdd" in seen)
    known = [disk.uuid for disk, _, _ in runtime_of(running).kvm_disks]
    assert known == [disk[0].uuid for disk in (running.disks[0], disks[0], again, disks[2])]
    for disk in (disks[2], again, disks[0]):
        running.remove_disk(disk)


def test_nics_keep_their_numbers_when_one_before_them_goes(running):
    nics = [running.add_nic(index) for index in (1, 2)]

    def tap(index: int) -> str:
        with open(running.hypervisor._InstanceNICFile(NAME, index)) as recorded:
            return recorded.read()

    second = tap(2)
    running.remove_nic(nics[0], 1)
    assert tap(1) == second
    running.add_nic(1, instance.nic(3))
    assert tap(2) == second
    assert tap(1) != second
    running.remove_nic(nics[1], 2)
    running.remove_nic(instance.nic(3), 1)


def test_what_is_there_is_not_added_again(running):
    before = running.state()
    with pytest.raises(errors.HotplugError, match="has it already"):
        running.add_disk(1, running.disks[0])
    with pytest.raises(errors.HotplugError, match="has it already"):
        running.add_nic(1, running.made.nics[0])
    assert running.state() == before


def test_what_is_not_there_was_removed(running):
    before = running.state()
    running.remove_disk(instance.disk(running.folder, 7))
    running.remove_nic(instance.nic(7), 7)
    assert running.state() == before
    with pytest.raises(errors.HotplugError, match=r"has no disk"):
        running.hypervisor.ResizeDisk(running.made, instance.disk(running.folder, 7)[0], _MIB)


def test_a_disk_that_is_not_there_leaves_nothing(running):
    before = running.state()
    disk = instance.disk(running.folder, 1)
    os.unlink(disk[1])
    with pytest.raises(errors.HotplugError, match="No such file"):
        running.add_disk(1, disk)
    assert disk[0].hvinfo is None
    assert running.state() == before


def test_a_network_script_that_fails_leaves_nothing(running):
    before = running.state()
    # Ganeti's script gives up on a routed NIC without an address.
    nic = instance.nic(1)
    nic.nicparams[constants.NIC_MODE] = constants.NIC_MODE_ROUTED
    with pytest.raises(errors.HotplugError, match="no IP address"):
        running.add_nic(1, nic)
    assert running.state() == before
    nic = running.add_nic()
    running.remove_nic(nic)


def test_vhost_without_the_device_leaves_nothing(running, monkeypatch):
    if os.path.exists("/dev/vhost-net"):
        pytest.skip("this machine has /dev/vhost-net: nothing fails")
    before = running.state()
    with_vhost = runtime_of(running)
    with_vhost.up_hvp[constants.HV_VHOST_NET] = True
    monkeypatch.setattr(type(running.hypervisor), "_LoadKVMRuntime", lambda *_: with_vhost)
    with pytest.raises(errors.HotplugError, match="vhost"):
        running.add_nic()
    monkeypatch.undo()
    assert running.state() == before


def test_storage_that_qemu_cannot_reach_leaves_nothing(running):
    before = running.state()
    disk, path, _ = instance.disk(running.folder, 1)
    disk.params[constants.LDP_ACCESS] = constants.DISK_USERSPACE
    with pytest.raises(errors.HotplugError):
        running.add_disk(1, (disk, path, "rbd:pool/image"))
    assert running.state() == before


def test_support_is_asked_of_the_running_qemu(running):
    for kind in (DISK, NIC):
        for action in constants.HOTPLUG_ALL_ACTIONS:
            running.hypervisor.VerifyHotplugSupport(running.made, action, kind)
    running.hypervisor.HotplugSupported(running.made)
    with pytest.raises(errors.HotplugError, match="is down"):
        running.hypervisor.HotplugSupported(instance.instance("nobody"))


def test_a_full_bus_is_said(running, monkeypatch):
    full = runtime_of(running)
    full.up_hvp[constants.HV_KVM_PCI_RESERVATIONS] = constants.QEMU_PCI_SLOTS
    monkeypatch.setattr(type(running.hypervisor), "_LoadKVMRuntime", lambda *_: full)
    with pytest.raises(errors.HotplugError, match=r"no place .* pci\.0"):
        running.add_disk()


def test_a_place_that_only_qemu_knows_to_be_taken(running):
    """A device that no runtime file names, such as a leftover, is in nobody's way."""
    slot = "0xe"
    running.ask("device_add", driver="virtio-rng-pci", id="alien", bus="pci.0", addr=slot)
    disk = running.add_disk()
    assert disk[0].hvinfo["addr"] == "0xf"
    running.remove_disk(disk)
    with running.hypervisor._Seams().qmp_connection(str(running.qmp)) as qmp:
        devices.release_device(qmp, "alien")
