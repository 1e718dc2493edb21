"""What QEMU itself says of devices that the development version words in its own way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm import hv_kvm
from ganeti_hv_kvm.hv_kvm import KVMHypervisor, QmpConnection, netdev
from ganeti_hv_kvm.hv_kvm.hotplug import nic as hotplug_nic
from harness import instance, paths
from harness.console import SerialConsole
from harness.descriptors import open_files

NAME = "dev1.example.com"
BOOT_TIMEOUT = 60.0


@pytest.fixture(params=[paths.QEMU, paths.QEMU_10], ids=["QEMU 7.2", "QEMU 10"])
def qemu(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ask(hypervisor: Any, command: str, **arguments: Any) -> Any:
    with QmpConnection(hypervisor._InstanceQmpMonitor(NAME)) as qmp:
        return qmp.execute_qmp(command, arguments)


def index_of(hypervisor: Any, kind: str) -> int:
    """The bootindex of the one device of this type."""
    folders = ("/machine/peripheral", "/machine/peripheral-anon")
    (found,) = (
        f"{folder}/{child['name']}"
        for folder in folders
        for child in ask(hypervisor, "qom-list", path=folder)
        if child["type"] == f"child<{kind}>"
    )
    return int(ask(hypervisor, "qom-get", path=found, property="bootindex"))


def boot_sector(says: str) -> bytes:
    """A program that says this on the serial console, for the BIOS to start."""
    port, put, wait_for_ever = b"\xba\xf8\x03", b"\xb0%c\xee", b"\xeb\xfe"
    program = port + b"".join(put % character for character in f"{says}\n".encode())
    return (program + wait_for_ever).ljust(510, b"\0") + b"\x55\xaa"


@pytest.mark.parametrize("order", ["floppy", "disk"])
def test_the_guest_starts_from_what_was_said(hypervisor, qemu, order, tmp_path):
    """Fault: QEMU refuses to start with a floppy that has a bootindex, as upstream words it."""
    disks = [instance.disk(tmp_path)]
    image = tmp_path / "floppy.img"
    image.write_bytes(bytes(1440 << 10))
    for path, says in ((image, "it is the floppy"), (Path(disks[0][1]), "it is the disk")):
        with path.open("r+b") as file:
            file.write(boot_sector(says))
    made = instance.instance(
        NAME, disks=disks, kvm_path=qemu, kernel_path="", boot_order=order,
        floppy_image_path=str(image),
    )  # fmt: skip
    hypervisor.StartInstance(made, disks, True)
    with SerialConsole(hypervisor._InstanceSerial(NAME)) as serial:
        ask(hypervisor, "cont")
        line = serial.wait_for(lambda line: "it is the" in line, BOOT_TIMEOUT)
    assert line.endswith(order)
    files = [node["file"] for node in ask(hypervisor, "query-named-block-nodes")]
    assert str(image) in files
    assert index_of(hypervisor, "virtio-blk-pci") == (1 if order == "disk" else -1)
    words = Path(f"/proc/{hypervisor.GetInstanceInfo(NAME)[1]}/cmdline").read_text().split("\0")
    assert "-drive" not in words
    assert words[words.index("-name") + 1] == f"{NAME},debug-threads=on"


@pytest.mark.parametrize("order", ["cdrom", "network"])
def test_the_first_of_its_kind_boots(hypervisor, qemu, order, tmp_path):
    image = tmp_path / "cd.iso"
    image.write_bytes(bytes(1 << 20))
    nics = [instance.nic(0)]
    made = instance.instance(
        NAME, nics=nics, kvm_path=qemu, kernel_path="", boot_order=order,
        cdrom_image_path=str(image), cdrom_disk_type="ide",
    )  # fmt: skip
    hypervisor.StartInstance(made, [], True)
    indexes = {kind: index_of(hypervisor, kind) for kind in ("ide-cd", "virtio-net-pci")}
    boots = {"cdrom": "ide-cd", "network": "virtio-net-pci"}[order]
    assert indexes.pop(boots) == 1
    assert list(indexes.values()) == [-1]


def test_the_limit_of_queues_is_ganetis() -> None:
    most = constants.MAX_VIRTIO_NET_QUEUES
    parameters = {**constants.HVC_DEFAULTS[constants.HT_KVM], constants.HV_VIRTIO_NET_QUEUES: most}
    KVMHypervisor.CheckParameterSyntax(parameters)
    KVMHypervisor.CheckParameterSyntax({**parameters, constants.HV_VIRTIO_NET_QUEUES: "auto"})
    parameters[constants.HV_VIRTIO_NET_QUEUES] = most + 1
    with pytest.raises(errors.HypervisorError, match=f"1 to {most} queues"):
        KVMHypervisor.CheckParameterSyntax(parameters)


def test_as_many_queues_as_ganeti_allows(hypervisor, qemu, monkeypatch):
    """Only the kernel's vhost, which gives Ganeti's NICs their queues, is not used."""
    most = constants.MAX_VIRTIO_NET_QUEUES
    features = {"vnet_hdr": True, "mq": (True, most), "vhost": False, "driver": "virtio-net-pci"}
    monkeypatch.setattr(hotplug_nic.command_line, "tap_features", lambda *_: features)
    monkeypatch.setattr(hv_kvm, "OpenTap", lambda name="", **_: netdev.OpenTap(name, features))
    made = instance.instance(NAME, kvm_path=qemu)
    hypervisor.StartInstance(made, [], True)
    nic = instance.nic(1)
    hypervisor.HotAddDevice(made, "nic", nic, None, 0)
    path = f"/machine/peripheral/{nic.hvinfo['id']}"
    assert ask(hypervisor, "qom-get", path=path, property="vectors") == 2 * most + 2
    pid = hypervisor.GetInstanceInfo(NAME)[1]
    assert sum("tun" in target for _, target in open_files(pid)) == most


def test_the_bus_managers_places_are_those_of_a_hot_plug(hypervisor, qemu, tmp_path):
    disks = [instance.disk(tmp_path)]
    made = instance.instance(NAME, nics=[instance.nic()], disks=disks, kvm_path=qemu)
    hypervisor.StartInstance(made, disks, True)
    added = []
    for number, kind, model in ((1, "disk", "paravirtual"), (1, "nic", "paravirtual")):
        runtime = hypervisor._LoadKVMRuntime(made)
        manager = hypervisor._get_bus_manager(runtime.up_hvp, runtime)
        place = manager.get_next_allocation(kind, model)
        if kind == "disk":
            disk = instance.disk(tmp_path, number)
            device, extra = disk[0], disk[1:]
        else:
            device, extra = instance.nic(number), None
        hypervisor.HotAddDevice(made, kind, device, extra, number)
        assert place.to_kvm_info().items() <= device.hvinfo.items()
        added.append(device.hvinfo["addr"])
    assert added == ["0xe", "0xf"]
    placed = {device["qdev_id"]: device["slot"] for device in pci_devices(hypervisor)}
    assert {0xE, 0xF} <= {slot for name, slot in placed.items() if name}


def pci_devices(hypervisor: Any) -> Any:
    return ask(hypervisor, "query-pci")[0]["devices"]
