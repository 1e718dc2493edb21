"""What a guest is to be started with, laid out from its configuration."""

from __future__ import annotations

from typing import Any

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.ganeti import generation
from ganeti_hv_kvm.hv_kvm.ganeti.generation import DIALECT
from ganeti_hv_kvm.hv_kvm.guest.files import Directories, InstanceFiles
from ganeti_hv_kvm.hv_kvm.lifecycle import new_runtime
from unit.hv_kvm.command_line import samples

_FOLDERS = ("pids", "uids", "ctrl", "conf", "nics", "chroot", "chroot_quarantine")
FILES = InstanceFiles(Directories(**{name: f"/run/{name}" for name in _FOLDERS}), samples.NAME)


def made(disks: int = 1, nics: int = 1, **hvparams: Any) -> Any:
    found = [samples.disk(seq=number) for number in range(disks)]
    instance = samples.instance(nics=nics, **hvparams)
    return new_runtime.make_runtime(instance, found, False, FILES, samples.facts())


def test_each_disk_and_nic_has_a_place() -> None:
    runtime = made(disks=2, nics=2)
    assert len({disk.hvinfo["addr"] for disk, _, _ in runtime.kvm_disks}) == 2
    assert len({nic.hvinfo["addr"] for nic in runtime.kvm_nics}) == 2


def test_the_machine_that_qemu_chose_is_kept() -> None:
    command = made().kvm_cmd
    assert command[command.index("-machine") + 1].startswith("pc-i440fx-7.2")


@pytest.mark.parametrize("disks", [1, 4])
def test_ide_disks_have_places_where_they_are_devices(disks: int) -> None:
    places = [disk.hvinfo for disk, _, _ in made(disks=disks, disk_type="ide").kvm_disks]
    if DIALECT.blockdev:
        assert len({(one["bus"], one["unit"]) for one in places}) == disks


def test_a_fifth_ide_disk_is_refused_in_words_of_ours() -> None:
    """Under 3.0 it was QEMU that said so, with "if=ide,bus=2,unit=0"."""
    with pytest.raises(errors.HypervisorError, match="no place for 5 IDE disks"):
        made(disks=5, disk_type="ide")


def test_a_cdrom_takes_one_of_the_four() -> None:
    image = {"cdrom_image_path": "/srv/a.iso", "cdrom_disk_type": "ide"}
    made(disks=3, disk_type="ide", **image)
    with pytest.raises(errors.HypervisorError, match="no place for 5 IDE disks and CD-ROMs"):
        made(disks=4, disk_type="ide", **image)


@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_the_device_for_memory_moves_no_other(
    monkeypatch: pytest.MonkeyPatch, machine: str
) -> None:
    monkeypatch.setattr(generation, "MEMORY_METHOD", "memory_hotplug_method")

    def places(**hvparams: Any) -> list[Any]:
        runtime = made(disks=2, nics=2, machine_version=machine, **hvparams)
        found = [disk.hvinfo for disk, _, _ in runtime.kvm_disks]
        return [*found, *[nic.hvinfo for nic in runtime.kvm_nics]]

    growing = {"memory_hotplug_method": "virtio-mem"}
    assert places(**growing) == places()
    command = made(disks=2, nics=2, machine_version=machine, **growing).kvm_cmd
    place = "bus=pci.0,addr=0x10" if machine == "pc" else "bus=pcie.0,addr=0x2.6"
    assert command[-1] == f"virtio-mem-pci,id=vmem0,memdev=vmem0,block-size=1M,{place}"
