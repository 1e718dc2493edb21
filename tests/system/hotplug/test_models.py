"""Every model of disk and NIC that can come and go, every controller, several queues, a chroot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm import hv_kvm
from ganeti_hv_kvm.hv_kvm import netdev
from ganeti_hv_kvm.hv_kvm.devices.places import HOTPLUGGABLE_DEVICE_TYPES
from ganeti_hv_kvm.hv_kvm.hotplug import nic as hotplug_nic
from harness import instance
from harness.block_device import block_device
from system.hotplug.running import DISK, NIC, Running

pytestmark = pytest.mark.rather_3_1

SILENT = (constants.HT_SCSI_CONTROLLER_LSI, constants.HT_SCSI_CONTROLLER_MEGASAS)
CONTROLLERS = sorted(constants.HT_KVM_VALID_SCSI_CONTROLLER_TYPES)


@pytest.fixture(scope="module")
def guest_of_file(make_running) -> Running:
    return make_running(disk_type="scsi-hd", scsi_controller_type="virtio-scsi-pci")


@pytest.fixture
def with_parameter(monkeypatch):
    """A function: for the rest of the test the guest counts as started with this parameter."""

    def pretend(running: Running, parameter: str, value: object) -> None:
        cls = type(running.hypervisor)
        load, save = cls._LoadKVMRuntime, cls._SaveKVMRuntime
        before = running.hypervisor._LoadKVMRuntime(running.made).up_hvp[parameter]

        def load_with(self, *args):
            runtime = load(self, *args)
            runtime.up_hvp[parameter] = value
            return runtime

        def save_without(self, made, runtime):
            runtime.up_hvp[parameter] = before
            save(self, made, runtime)

        monkeypatch.setattr(cls, "_LoadKVMRuntime", load_with)
        monkeypatch.setattr(cls, "_SaveKVMRuntime", save_without)

    return pretend


@pytest.mark.parametrize("model", HOTPLUGGABLE_DEVICE_TYPES[NIC])
def test_nics(running, with_parameter, model):
    with_parameter(running, constants.HV_NIC_TYPE, model)
    nic = running.add_nic()
    devices = running.ask("query-pci")[0]["devices"]
    assert nic.hvinfo["id"] in [device["qdev_id"] for device in devices]
    running.remove_nic(nic)


def test_a_nic_on_the_isa_bus_cannot_come(running, with_parameter):
    with_parameter(running, constants.HV_NIC_TYPE, constants.HT_NIC_NE2K_ISA)
    before = running.state()
    for attempt in (
        running.add_nic,
        lambda: running.remove_nic(running.made.nics[0], 0),
        lambda: running.hypervisor.VerifyHotplugSupport(running.made, "hotadd", NIC),
    ):
        with pytest.raises(errors.HotplugError, match="ne2k_isa, which cannot come or go"):
            attempt()
    assert running.state() == before


@pytest.mark.parametrize("model", ["paravirtual", "scsi-hd", "scsi-cd"])
def test_disks(running, with_parameter, model):
    with_parameter(running, constants.HV_DISK_TYPE, model)
    disk = running.add_disk()
    if model != "scsi-cd":  # the guest has no driver for those
        name = "vda" if model == "paravirtual" else "sdb"
        running.sees(lambda disks, _: f"{name}:16MiB" in disks)
    running.remove_disk(disk)


@pytest.mark.parametrize("model", ["scsi-block", "scsi-generic"])
def test_disks_that_must_be_scsi_on_the_host(running, with_parameter, model):
    with_parameter(running, constants.HV_DISK_TYPE, model)
    before = running.state()
    with pytest.raises(errors.HotplugError, match="refused device_add"):
        running.add_disk()
    assert running.state() == before


@pytest.mark.parametrize("cache", sorted(constants.HT_VALID_CACHE_TYPES))
@pytest.mark.parametrize("aio", sorted(constants.HT_KVM_VALID_AIO_TYPES))
def test_cache_modes(running, with_parameter, cache, aio):
    if aio == constants.HT_KVM_AIO_NATIVE:
        cache = constants.HT_CACHE_NONE  # native AIO goes with no other
    with_parameter(running, constants.HV_DISK_CACHE, cache)
    with_parameter(running, constants.HV_KVM_DISK_AIO, aio)
    disk = running.add_disk()
    (added,) = (
        drive
        for drive in running.ask("query-block")
        if disk[0].hvinfo["id"] in drive.get("qdev", "")
    )
    cached = added["inserted"]["cache"]
    assert cached["direct"] == (cache == constants.HT_CACHE_NONE)
    assert cached["writeback"] == (cache != constants.HT_CACHE_WTHROUGH)
    running.remove_disk(disk)


def test_a_block_device(running):
    if not os.path.exists("/dev/loop-control"):
        pytest.skip("this machine has no loop devices")
    disk, image, _ = instance.disk(running.folder, 1)
    disk.dev_type = constants.DT_PLAIN
    with block_device(Path(image)) as path:
        running.add_disk(1, (disk, path, None))
        running.sees(lambda disks, _: "sdb:16MiB" in disks)
        running.remove_disk((disk, path, None))


def _open_with_two_queues(name: str, features: object) -> object:
    return netdev.OpenTap(name, {"vnet_hdr": True, "mq": (True, 2), "vhost": False})


def test_several_queues(running, monkeypatch):
    features = {"vnet_hdr": True, "mq": (True, 2), "vhost": False, "driver": "virtio-net-pci"}
    monkeypatch.setattr(hotplug_nic.command_line, "tap_features", lambda *_: features)
    monkeypatch.setattr(hv_kvm, "OpenTap", _open_with_two_queues)
    nic = running.add_nic()
    path = f"/machine/peripheral/{nic.hvinfo['id']}"
    assert running.ask("qom-get", path=path, property="mq") is True
    assert running.ask("qom-get", path=path, property="vectors") == 6
    running.sees(lambda _, nics: f"eth1:{nic.mac}" in nics)
    running.remove_nic(nic)


@pytest.mark.parametrize("controller", CONTROLLERS)
def test_controllers(make_running, controller):
    running = make_running(paused=True, disk_type="scsi-hd", scsi_controller_type=controller)
    running.ask("cont")  # a paused QEMU puts off closing what it was handed
    before = running.state()
    disk = running.add_disk()
    assert disk[0].hvinfo["scsi-id"] == 1
    if controller == constants.HT_SCSI_CONTROLLER_VIRTIO:
        running.remove_disk(disk)
        assert running.state() == before


@pytest.mark.parametrize("controller", SILENT)
def test_controllers_that_tell_the_guest_nothing(make_running, caplog, controller):
    """Fault: Linux took the disk that came for the one that had gone, and wrote to it."""
    running = make_running(paused=True, disk_type="scsi-hd", scsi_controller_type=controller)
    first = running.add_disk()
    assert "rescan" in caplog.text
    before = running.state()
    for removal in (
        lambda: running.remove_disk(first),
        lambda: running.hypervisor.VerifyHotplugSupport(running.made, "hotremove", DISK),
    ):
        with pytest.raises(errors.HotplugError, match=f"{controller}.* tells it nothing"):
            removal()
    assert running.state() == before
    second = running.add_disk(2)
    assert (first[0].hvinfo["scsi-id"], second[0].hvinfo["scsi-id"]) == (1, 2)


def test_a_place_that_kvm_extra_names(make_running):
    """Fault: a hot-add stepped around it, the next start did not."""
    running = make_running(paused=True, kvm_extra="-device virtio-rng-pci,bus=pci.0,addr=0xd")
    disks = [running.add_disk(number) for number in (1, 2)]
    slots = [disk[0].hvinfo["addr"] for disk in disks]
    assert "0xd" not in slots
    running.stop()
    running.disks = [*running.disks, *disks]
    for disk, _, _ in running.disks:
        disk.hvinfo = None
    running.start(paused=True)
    assert running.hypervisor.ListInstances() == [running.made.name]


def test_a_qemu_without_rights_in_a_chroot(make_running):
    running = make_running(use_chroot=True, security_model="user", security_domain="nobody")
    before = running.state()
    disk = instance.disk(running.folder, 1)
    Path(disk[1]).chmod(0o600)
    running.add_disk(1, disk)
    nic = running.add_nic()
    running.sees(lambda disks, nics: "vdb:16MiB" in disks and "eth1" in nics)
    running.remove_disk(disk)
    running.remove_nic(nic)
    assert running.state() == before
