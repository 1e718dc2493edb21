"""Disks and NICs come and go behind the root ports of a q35."""

from __future__ import annotations

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.devices.places import HOTPLUGGABLE_DEVICE_TYPES
from harness import instance
from system.hotplug.running import DISK, NIC, Running

pytestmark = [pytest.mark.only_3_1, pytest.mark.one_in(2)]

_NEW_MAC = "aa:00:00:99:99:99"


@pytest.fixture(scope="module")
def guest_of_file(make_running, qemu) -> Running:
    return make_running(kvm_path=qemu, machine_version="q35")


def behind_ports(running) -> dict[str, str]:
    (bus,) = running.ask("query-pci")
    return {
        port["qdev_id"]: device["qdev_id"]
        for port in bus["devices"]
        for device in port.get("pci_bridge", {}).get("devices", ())
    }


def places_in_runtime(running) -> dict[str, str]:
    runtime = running.hypervisor._LoadKVMRuntime(running.made)
    devices = [*runtime.kvm_nics, *(disk for disk, _, _ in runtime.kvm_disks)]
    return {one.hvinfo["bus"]: one.hvinfo["id"] for one in devices}


def test_a_disk_and_a_nic_come_and_go(running):
    disk, nic = running.add_disk(), running.add_nic()
    running.sees(lambda disks, nics: "vdb:16MiB" in disks and f"eth1:{nic.mac}" in nics)
    assert disk[0].hvinfo["bus"] == "rp12"
    assert (nic.hvinfo["bus"], nic.hvinfo["acpi-index"]) == ("rp4", 2)
    assert behind_ports(running) == places_in_runtime(running)
    assert set(behind_ports(running)) == {"rp3", "rp4", "rp11", "rp12"}
    assert running.remove_disk(disk) == disk[0].hvinfo
    assert running.remove_nic(nic) == nic.hvinfo
    running.sees(lambda disks, nics: "vdb" not in disks and "eth1" not in nics)
    assert set(behind_ports(running)) == {"rp3", "rp11"}


def test_a_nic_changes_at_its_place(running):
    nic = running.add_nic()
    changed = instance.nic(1)
    changed.mac = _NEW_MAC
    running.modify_nic(changed)
    running.sees(lambda _, nics: f"eth1:{_NEW_MAC}" in nics)
    assert changed.hvinfo == nic.hvinfo
    running.remove_nic(changed)


def test_what_the_guest_was_started_with_goes_and_comes_back(running):
    first_disk, first_nic = running.disks[0], running.made.nics[0]
    first_disk[0].hvinfo = running.remove_disk(first_disk, 0)
    running.remove_nic(first_nic, 0)
    running.sees(lambda disks, nics: not disks.strip() and not nics.strip())
    running.add_disk(0, first_disk)
    running.add_nic(0, first_nic)
    running.sees(lambda disks, nics: disks.strip() and first_nic.mac in nics)


@pytest.mark.parametrize("model", sorted(HOTPLUGGABLE_DEVICE_TYPES[NIC]))
def test_every_model_of_nic(running, with_parameter, model):
    with_parameter(running, constants.HV_NIC_TYPE, model)
    nic = running.add_nic()
    assert behind_ports(running)["rp4"] == nic.hvinfo["id"]
    running.remove_nic(nic)


def test_no_more_ports(running):
    nics = [running.add_nic(index) for index in range(1, constants.MAX_NICS)]
    before = running.state()
    with pytest.raises(errors.HotplugError, match="all 8 root ports for NICs are taken"):
        running.add_nic(8, instance.nic(8))
    assert running.state() == before
    running.sees(lambda _, seen: len(seen.split()) == constants.MAX_NICS)
    for index in reversed(range(1, constants.MAX_NICS)):
        running.remove_nic(nics[index - 1], index)


def test_as_many_disks_as_ganeti_allows(running):
    disks = [running.add_disk(index) for index in range(1, constants.MAX_DISKS)]
    running.sees(lambda seen, _: len(seen.split()) == constants.MAX_DISKS)
    with pytest.raises(errors.HotplugError, match="all 16 root ports for disks are taken"):
        running.add_disk(16, instance.disk(running.folder, 16))
    for index in reversed(range(1, constants.MAX_DISKS)):
        running.remove_disk(disks[index - 1], index)


def test_a_place_that_only_qemu_knows_of_is_not_taken(running):
    running.ask("device_add", driver="virtio-rng-pci", id="mine", bus="rp4", addr="0x0")
    nic = running.add_nic()
    assert nic.hvinfo["bus"] == "rp5"
    running.remove_nic(nic)
    running.ask("device_del", id="mine")
    running.sees(lambda *_: "mine" not in behind_ports(running).values())


def test_ganeti_asks_whether_it_can(running):
    running.hypervisor.HotplugSupported(running.made)
    for kind in (DISK, NIC):
        for action in (constants.HOTPLUG_ACTION_ADD, constants.HOTPLUG_ACTION_REMOVE):
            running.hypervisor.VerifyHotplugSupport(running.made, action, kind)


def test_a_reboot_keeps_the_places(make_running, qemu):
    running = make_running(kvm_path=qemu, machine_version="q35")
    nic, disk = running.add_nic(), running.add_disk()
    running.remove_disk(running.disks[0], 0)
    places = places_in_runtime(running)
    assert set(places) == {"rp3", "rp4", "rp12"}
    running.console.close()
    running.hypervisor.RebootInstance(running.made)
    running.attach()
    running.sees(lambda disks, nics: disks.split() == ["vda:16MiB"] and f"eth1:{nic.mac}" in nics)
    assert behind_ports(running) == places == places_in_runtime(running)
    running.add_disk(1, running.disks[0])
    assert set(behind_ports(running)) == {"rp3", "rp4", "rp11", "rp12"}
    running.remove_disk(disk, 0)


def test_scsi_disks(make_running, qemu):
    running = make_running(
        kvm_path=qemu,
        machine_version="q35",
        disk_type="scsi-hd",
        scsi_controller_type="virtio-scsi-pci",
    )
    before = running.state()
    disk = running.add_disk()
    assert (disk[0].hvinfo["bus"], disk[0].hvinfo["scsi-id"]) == ("scsi.0", 1)
    running.sees(lambda disks, _: "sdb:16MiB" in disks)
    running.remove_disk(disk)
    running.sees(lambda disks, _: "sdb" not in disks)
    assert running.state() == before


def test_a_machine_of_before_acpi_did_it(make_running, qemu):
    """Up to QEMU 6.0 the port's own button does it; the guest waits 5 s for a second thought."""
    running = make_running(kvm_path=qemu, machine_version="pc-q35-6.0")
    before = running.state()
    disk, nic = running.add_disk(), running.add_nic()
    running.sees(lambda disks, nics: "vdb:16MiB" in disks and f"eth1:{nic.mac}" in nics)
    running.remove_disk(disk)
    running.remove_nic(nic)
    running.sees(lambda disks, nics: "vdb" not in disks and "eth1" not in nics)
    assert running.state() == before
