"""A q35 starts with what it is to have, from what it is to start from."""

from __future__ import annotations

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm import QmpConnection
from harness import boot_image, guest, instance
from harness.console import SerialConsole

pytestmark = [pytest.mark.rather_3_1, pytest.mark.one_in(2)]

NAME = "web1.example.com"
PORT = 5913
BOOT_TIMEOUT = 90.0
#: Of the first disk and the first NIC.
PLACES = {"disk": "rp11", "nic-": "rp3"}


def start(hypervisor, qemu, *, paused=True, disks=(), nics=(), **parameters):
    parameters = {"machine_version": "q35", "kvm_path": qemu, **parameters}
    made = instance.instance(NAME, disks=disks, nics=nics, **parameters)
    made.network_port = PORT
    hypervisor.StartInstance(made, list(disks), paused)
    return made


def ask(hypervisor, command: str, **arguments):
    with QmpConnection(hypervisor._InstanceQmpMonitor(NAME)) as qmp:
        return qmp.execute_qmp(command, arguments)


def pci_devices(hypervisor) -> list[dict]:
    (bus,) = ask(hypervisor, "query-pci")
    return bus["devices"]


def buses(hypervisor) -> dict[str, str]:
    """The bus of each disk and NIC, by its id; also before the firmware has given numbers."""
    ids = [
        child["name"]
        for child in ask(hypervisor, "qom-list", path="/machine/peripheral")
        if child["name"].startswith(("disk-", "nic-"))
    ]
    paths = {
        devid: ask(
            hypervisor, "qom-get", path=f"/machine/peripheral/{devid}", property="parent_bus"
        )
        for devid in ids
    }
    return {devid: path.rpartition("/")[2] for devid, path in paths.items()}


@pytest.mark.parametrize(
    ("parameters", "disk"),
    [
        ({"machine_version": "pc-q35-7.2"}, "vda"),
        ({"disk_type": "scsi-hd", "scsi_controller_type": "virtio-scsi-pci"}, "sda"),
    ],
    ids=["virtio-blk", "virtio-scsi"],
)
def test_the_guest_sees_its_disks_and_nics(hypervisor, qemu, tmp_path, parameters, disk):
    disks = [instance.disk(tmp_path, index, mebibytes=16 * (index + 1)) for index in range(2)]
    nics = [instance.nic(index) for index in range(2)]
    start(hypervisor, qemu, paused=False, disks=disks, nics=nics, **parameters)
    with SerialConsole(hypervisor._InstanceSerial(NAME)) as serial:
        line = serial.wait_for(guest.STATUS_LINE.search, BOOT_TIMEOUT)
    seen = guest.STATUS_LINE.search(line)
    names, sizes = zip(*(one.split(":") for one in seen["disks"].split()), strict=True)
    assert names == (disk, f"{disk[:2]}b")
    assert sorted(sizes) == ["16MiB", "32MiB"]  # Linux probes SCSI disks side by side
    assert seen["nics"].split() == [f"eth{index}:{nic.mac}" for index, nic in enumerate(nics)]
    assert hypervisor.GetInstanceInfo(NAME)[2] == 128
    assert [info[0] for info in hypervisor.GetAllInstancesInfo()] == [NAME]


@pytest.mark.usefixtures("an_address_of_the_network")
def test_everything_has_its_place(hypervisor, qemu, tmp_path):
    image = tmp_path / "image.iso"
    boot_image.cdrom(image, "")
    disks = [instance.disk(tmp_path)]
    start(
        hypervisor,
        qemu,
        disks=disks,
        nics=[instance.nic()],
        scsi_controller_type="virtio-scsi-pci",
        cdrom_disk_type="scsi-cd",
        cdrom_image_path=str(image),
        soundhw="hda",
        spice_bind="127.0.0.1",
        usb_mouse="tablet",
        usb_devices="keyboard",
        use_guest_agent=True,
        kvm_extra="-device virtio-rng-pci,id=mine",
    )
    found = pci_devices(hypervisor)
    kinds = {
        device["function"]: (device["id"]["vendor"], device["class_info"]["class"])
        for device in found
        if device["slot"] == 2
    }
    red_hat = 0x1AF4
    assert set(kinds) == set(range(6))
    assert [kinds[number][0] == red_hat for number in (0, 1, 3, 4)] == [True] * 4
    assert kinds[2][1] == 0x0C03  # a USB controller
    assert kinds[5][1] == 0x0403  # an audio device
    assert len([device for device in found if "pci_bridge" in device]) == 24
    assert {devid[:4]: bus for devid, bus in buses(hypervisor).items()} == PLACES
    # what the administrator adds gets a place that is nobody's
    assert [device["slot"] for device in found if device["qdev_id"] == "mine"] == [0x1B]


@pytest.mark.parametrize("controller", sorted(constants.HT_KVM_VALID_SCSI_CONTROLLER_TYPES))
def test_every_scsi_controller(hypervisor, qemu, tmp_path, controller):
    disks = [instance.disk(tmp_path)]
    start(hypervisor, qemu, disks=disks, disk_type="scsi-hd", scsi_controller_type=controller)
    assert [
        device["function"] for device in pci_devices(hypervisor) if device["qdev_id"] == "scsi"
    ] == [1]


@pytest.mark.usefixtures("an_address_of_the_network")
@pytest.mark.parametrize(
    "parameters",
    [
        {"soundhw": "ac97"},
        {"vnc_bind_address": "127.0.0.1"},
        {"vga": "none"},
        {"acpi": False},
        {"spice_bind": "127.0.0.1", "vga": "std"},
    ],
    ids=str,
)
def test_other_parameters(hypervisor, qemu, tmp_path, parameters):
    start(hypervisor, qemu, disks=[instance.disk(tmp_path)], nics=[instance.nic()], **parameters)
    assert {devid[:4]: bus for devid, bus in buses(hypervisor).items()} == PLACES


def starts_from(hypervisor, text: str) -> None:
    with SerialConsole(hypervisor._InstanceSerial(NAME)) as serial:
        serial.wait_for(lambda line: text in line, BOOT_TIMEOUT)


@pytest.mark.parametrize("cdrom_disk_type", ["", "ide", "scsi-cd"])
def test_it_starts_from_cdrom(hypervisor, qemu, tmp_path, cdrom_disk_type):
    first, second = tmp_path / "first.iso", tmp_path / "second.iso"
    boot_image.cdrom(first, "this is the first CD")
    boot_image.cdrom(second, "this is the second CD")
    start(
        hypervisor,
        qemu,
        paused=False,
        disks=[instance.disk(tmp_path)],
        kernel_path="",
        boot_order="cdrom",
        cdrom_image_path=str(first),
        cdrom2_image_path=str(second),
        cdrom_disk_type=cdrom_disk_type,
        scsi_controller_type="virtio-scsi-pci",
    )
    starts_from(hypervisor, "this is the first CD")


@pytest.mark.parametrize("disk_type", ["paravirtual", "scsi-hd"])
def test_it_starts_from_disk(hypervisor, qemu, tmp_path, disk_type):
    disks = [instance.disk(tmp_path, index) for index in range(2)]
    for number, (_, path, _) in enumerate(disks):
        boot_image.disk(tmp_path / path, f"this is disk {number}")
    start(
        hypervisor,
        qemu,
        paused=False,
        disks=disks,
        kernel_path="",
        disk_type=disk_type,
        scsi_controller_type="virtio-scsi-pci",
    )
    starts_from(hypervisor, "this is disk 0")


@pytest.mark.parametrize(
    "parameters",
    [
        {"disk_type": "ide"},
        {"cdrom_disk_type": "paravirtual"},
        {"floppy_image_path": "/dev/null"},
        {"nic_type": "ne2k_isa"},
        {"soundhw": "es1370"},
        {"machine_version": "pc-q35-99.0"},
    ],
    ids=str,
)
def test_what_it_cannot_have_is_refused(hypervisor, nothing_left, qemu, parameters):
    (name,) = parameters
    with pytest.raises(errors.HypervisorError, match=name):
        start(hypervisor, qemu, nics=[instance.nic()], **parameters)
    nothing_left()


def test_it_gives_memory_back(hypervisor, qemu):
    made = instance.instance(
        NAME, memory=256, minimum_memory=128, machine_version="q35", kvm_path=qemu
    )
    hypervisor.StartInstance(made, [], False)
    with SerialConsole(hypervisor._InstanceSerial(NAME)) as serial:
        serial.wait_for(guest.STATUS_LINE.search, BOOT_TIMEOUT)
    hypervisor.BalloonInstanceMemory(made, 176)
    assert hypervisor.GetInstanceInfo(NAME)[2] == 176
