"""What the comparison with the original cannot show: old and new QEMU, and refusals."""

from __future__ import annotations

from typing import Any

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm import command_line
from ganeti_hv_kvm.hv_kvm.command_line import (
    Display,
    boot,
    display,
    machine,
    network,
    peripherals,
    process,
    storage,
    vcpus,
)
from ganeti_hv_kvm.hv_kvm.ganeti import generation
from ganeti_hv_kvm.hv_kvm.ganeti.generation import BLOCKDEV, DRIVE
from unit.hv_kvm.command_line import samples
from unit.hv_kvm.command_line.samples import completion, instance, old_facts, start


def test_machine_switches_of_qemu_before_0_15() -> None:
    old = old_facts("-enable-kvm x\n-disable-kvm x\n")

    def words(facts: Any, flag: str) -> list[str]:
        made = instance(kvm_flag=flag, machine_version="pc-0.12", acpi=False)
        request = start(made, facts=facts)
        return machine.acpi(request) + machine.machine(request)

    assert words(old, "enabled")[-2:] == ["pc-0.12", "-enable-kvm"]
    assert words(old, "disabled")[-2:] == ["pc-0.12", "-disable-kvm"]
    assert words(old, "") == ["-machine", "pc-0.12"]
    assert words(old_facts("-disable-kvm x\n"), "enabled") == ["-machine", "pc-0.12"]


def test_display_of_qemu_before_1_0() -> None:
    assert display.screen(start(instance(), facts=old_facts())) == ["-nographic"]


def test_old_network_switches() -> None:
    made = instance(nics=1)
    attached = command_line.AttachedNic(made.nics[0], [7])

    assert network.cards(completion(made, facts=old_facts(), nics=[attached]), []) == [
        "-net",
        "tap,vlan=0,fd=7",
        "-net",
        "nic,vlan=0,macaddr=aa:00:00:11:22:00,model=virtio",
    ]


def test_nic_without_a_place_gets_a_numbered_backend() -> None:
    made = instance(nics=1, nic_type="e1000")
    made.nics[0].hvinfo = {}
    attached = command_line.AttachedNic(made.nics[0], [7])

    assert network.cards(completion(made, nics=[attached]), []) == [
        "-netdev",
        "type=tap,id=netdev0,fd=7",
        "-device",
        "e1000,netdev=netdev0,mac=aa:00:00:11:22:00",
    ]


def test_disk_of_qemu_without_devices() -> None:
    old = old_facts("-drive [file=file]\n   [,boot=on|off]\n")
    disk = samples.disk()
    made = instance()
    samples.bus_manager.place_all(made.hvparams, [disk[0]], [])

    given = completion(made, facts=old, disks=[disk], dialect=DRIVE)
    assert storage.disks(given, [])[:2] == ["-boot", "c"]
    assert storage.disks(given, [])[3].startswith(
        f"file={samples.LINK},format=raw,if=virtio,boot=on,aio=threads"
    )


def test_monitors_need_qmp() -> None:
    assert process.monitors(completion(instance(), facts=old_facts()), []) == []


@pytest.mark.parametrize(
    ("help_text", "words"),
    [
        ("-chroot d\n-runas u\n", ["-runas", "u", "-chroot", "/run/chroot"]),
        # QEMU 8.1: -run-with knows the chroot, -chroot is still there.
        ("-chroot d\n-runas u\n-run-with [chroot=d]\n", ["-runas", "u", "-chroot", "/run/chroot"]),
        # QEMU 9.0: -chroot is gone, the user is not in -run-with yet.
        ("-runas u\n-run-with [chroot=d]\n", ["-run-with", "chroot=/run/chroot", "-runas", "u"]),
        ("-runas u\n-run-with [chroot=d][user=u]\n", ["-run-with", "user=u,chroot=/run/chroot"]),
        ("-run-with [chroot=d]\n  [user=u]\n", ["-run-with", "user=u,chroot=/run/chroot"]),
    ],
)
def test_user_and_chroot_of_each_qemu(help_text: str, words: list[str]) -> None:
    made = instance(security_model="user", security_domain="u", use_chroot=True)
    given = completion(made, facts=old_facts(help_text))

    assert process.user_and_chroot(given, []) == words


def test_no_restrictions_no_switch() -> None:
    assert process.user_and_chroot(completion(instance(), facts=samples.facts("10.0")), []) == []


@pytest.mark.parametrize(
    ("number", "topology", "fits"),
    [
        (4, {}, True),
        (4, {"cpu_cores": 2}, True),
        (4, {"cpu_cores": 2, "cpu_sockets": 2, "cpu_threads": 1}, True),
        (4, {"cpu_sockets": 3}, False),
        (4, {"cpu_cores": 1, "cpu_sockets": 1, "cpu_threads": 1}, False),
        (4, {"cpu_sockets": 3, "kvm_extra": "-smp 4,sockets=4"}, True),
        (255, {}, True),
        (256, {}, False),
    ],
)
def test_vcpus_and_their_topology(
    monkeypatch: pytest.MonkeyPatch, number: int, topology: dict, fits: bool
) -> None:
    # with room for more vCPUs their number need not fit
    monkeypatch.setattr(generation, "VCPU_TARGET", None)
    made = instance(**topology)
    made.beparams[constants.BE_VCPUS] = number
    request = start(made, facts=samples.facts("7.2"))
    if fits:
        assert vcpus.processors(request)[1].startswith(f"{number}")
    else:
        with pytest.raises(errors.HypervisorError, match=f"the instance has {number} vCPUs"):
            vcpus.processors(request)


def test_usb_devices_of_a_qemu_without_usbdevice() -> None:
    made = instance(usb_mouse="tablet", usb_devices="keyboard,usb-ccid")
    request = start(made, facts=old_facts())

    assert peripherals.usb(request) == ["-usb", "-device", "usb-tablet"]
    assert peripherals.usb_devices(request) == ["-device", "usb-kbd", "-device", "usb-ccid"]


def test_sound_of_a_qemu_that_has_soundhw() -> None:
    request = start(instance(soundhw="ac97,es1370"), facts=old_facts("-soundhw c1,...\n"))

    assert peripherals.sound(request) == ["-soundhw", "ac97,es1370"]


@pytest.mark.parametrize("address", [Display(vnc="127.0.0.1"), Display(spice="127.0.0.1")])
def test_a_screen_needs_a_port(address: Display) -> None:
    with pytest.raises(errors.HypervisorError, match="no network port"):
        display.screen(start(instance(port=None), display=address))


@pytest.mark.parametrize(
    ("address", "screen"),
    [
        ("0.0.0.0", ":5105"),
        ("127.0.0.1", "127.0.0.1:5105"),
        ("::", "[::]:5105"),
        ("/run/v,nc", f"unix:/run/v,,nc/{samples.NAME}.vnc"),
    ],
)
def test_where_vnc_listens(address: str, screen: str) -> None:
    assert display.screen(start(instance(), display=Display(vnc=address))) == ["-vnc", screen]


def test_vhost_and_queues_that_qemu_lacks_are_refused() -> None:
    made = instance(vhost_net=True, virtio_net_queues=2)
    with pytest.raises(errors.HypervisorError, match="vhost_net"):
        command_line.device_features(made.hvparams, old_facts("-netdev tap,id=str\n"))
    with pytest.raises(errors.HypervisorError, match="virtio_net_queues"):
        command_line.device_features(made.hvparams, old_facts("-netdev tap,id=str,vhost=on|off\n"))


def test_features_of_a_tap() -> None:
    hvp = instance(vhost_net=True, virtio_net_queues=3).hvparams

    assert command_line.device_features(hvp, samples.facts()) == (
        {"driver": "virtio-net-pci", "vhost": True, "vnet_hdr": True, "mq": (True, 3)},
        ",vhost=on",
        ",mq=on,vectors=8",
    )
    assert command_line.device_features(hvp | {"nic_type": "e1000"}, samples.facts()) == (
        {"driver": "e1000", "vhost": False, "vnet_hdr": False, "mq": (False, 1)},
        "",
        "",
    )


@pytest.mark.parametrize("dialect", samples.DIALECTS)
def test_read_only_disks_are_refused(dialect: str) -> None:
    disk = samples.disk(mode="ro")
    given = completion(instance(), disks=[disk], dialect=samples.DIALECTS[dialect])

    with pytest.raises(errors.HypervisorError, match=r"disk 0 of web1\.example\.com is read-only"):
        storage.disks(given, [])


def test_a_device_that_qemu_lacks_is_refused() -> None:
    given = completion(instance(disk_type="mtd"), dialect=BLOCKDEV)

    with pytest.raises(errors.HypervisorError, match="has no device mtd"):
        storage.disks(given, [])


@pytest.mark.parametrize("controller", ["lsi", "virtio-scsi-pci"])
@pytest.mark.parametrize("disks", sorted(constants.HT_SCSI_DEVICE_TYPES - {"scsi-cd"}))
def test_a_cdrom_beside_scsi_disks_is_a_scsi_cdrom(disks: str, controller: str) -> None:
    """Fault: refused under 3.1, where 3.0 started it; left unset, its type is that of the disks."""
    values = {"cdrom_image_path": "/a.iso", "cdrom2_image_path": "/b.iso"}
    values |= {"disk_type": disks, "scsi_controller_type": controller}
    unset, named = (
        samples.whole(instance(**values, cdrom_disk_type=kind), [samples.disk()], BLOCKDEV)
        for kind in ("", "scsi-cd")
    )
    assert unset == named
    assert sum(word.startswith("scsi-cd,") for word in unset) == 2


def test_a_cdrom_cannot_be_a_hard_disk() -> None:
    made = instance(cdrom_image_path="/a.iso", cdrom_disk_type="scsi-hd")

    with pytest.raises(errors.HypervisorError, match="cdrom_disk_type"):
        boot.cdroms(start(made, dialect=BLOCKDEV))


def test_a_disk_without_a_place_is_named_by_its_uuid() -> None:
    disk, link, _ = samples.disk()
    disk.hvinfo = {}
    given = completion(instance(disk_type="ide"), disks=[(disk, link, None)], dialect=BLOCKDEV)

    assert "ide-hd,drive=disk-d0000000-1111-4222,write-cache=on" in storage.disks(given, [])


@pytest.mark.parametrize(
    ("aio", "cache", "template", "text"),
    [
        ("threads", "default", "drbd", ",aio=threads"),
        ("threads", "default", "sharedfile", ",aio=threads,cache=none"),
        ("threads", "writeback", "rbd", ",aio=threads,cache=writeback"),
        ("native", "none", "drbd", ",aio=native,cache=none"),
        ("native", "writethrough", "drbd", ",aio=native,cache=none"),
        ("native", "writethrough", "gluster", ",aio=native,cache=none"),
        (None, "none", "drbd", ",aio=threads,cache=none"),
    ],
)
def test_aio_and_cache_of_a_drive(aio: str | None, cache: str, template: str, text: str) -> None:
    assert command_line.aio_cache(aio, cache, template) == text


def test_block_node_is_nested_as_for_blockdev_add() -> None:
    made = instance(disk_cache="writeback", disk_aio="native", disk_discard="unmap")

    assert command_line.block_node(
        "/dev/x", samples.disk("drbd")[0], made.hvparams, "d"
    ).as_qmp() == {
        "driver": "raw",
        "node-name": "d",
        "discard": "unmap",
        "cache": {"direct": False, "no-flush": False},
        "file": {"driver": "host_device", "filename": "/dev/x", "aio": "native"},
    }
