"""Places that kvm_extra names, in every way that people and QEMU write them."""

from __future__ import annotations

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.command_line import ide, named_places


@pytest.mark.parametrize(
    ("device", "place"),
    [
        ("virtio-rng-pci,bus=pci.0,addr=0xf", {"bus": "pci.0", "addr": "0xf"}),
        ("virtio-rng-pci,addr=f", {"bus": "pci.0", "addr": "0xf"}),
        ("driver=virtio-rng-pci,addr=10", {"bus": "pci.0", "addr": "0x10"}),
        ("e1000,addr=0xf.1,multifunction=on", {"bus": "pci.0", "addr": "0xf"}),
        ('{"driver": "e1000", "addr": "0xf"}', {"bus": "pci.0", "addr": "0xf"}),
        ('{"driver": "e1000", "bus": "pci.0", "addr": 120}', {"bus": "pci.0", "addr": "0xf"}),
        ("virtio-rng-pci,bus=rp5", None),
        ("virtio-rng-pci,bus=rp5,addr=0", {"bus": "rp5", "addr": "0x0"}),
        ("scsi-hd,drive=x,scsi-id=3", {"bus": "scsi.0", "scsi-id": 3}),
        ("scsi-cd,drive=x,bus=other.0,scsi-id=3", {"bus": "other.0", "scsi-id": 3}),
        ("scsi-cd,drive=x", {"bus": "scsi.0", "scsi-id": 0}),
        ("virtio-rng-pci", None),
        ("pc-dimm,memdev=m,addr=0x100000000", None),
        ("virtio-rng-pci,addr=nonsense", None),
        ("{broken", None),
        ("[]", None),
        ("", None),
    ],
)
def test_places(device, place):
    assert named_places.of(["qemu", "-device", device]) == ([place] if place else [])


def test_disks_without_a_target_get_the_first_free_one():
    command = ["-device", "scsi-hd,scsi-id=0", "-device", "scsi-hd", "-device", "scsi-hd"]
    assert [one["scsi-id"] for one in named_places.of(command)] == [0, 1, 2]


def test_other_switches_and_a_lonely_one_at_the_end():
    assert named_places.of(["-drive", "addr=0xf", 7, "-device"]) == []


@pytest.mark.parametrize(
    ("extra", "disks", "places"),
    [
        (["-device", "ide-cd,bus=ide.1,unit=0"], 1, [(1, 1)]),
        (["-device", "ide-cd"], 1, [(1, 1)]),
        (["-device", "ide-hd,drive=a", "-device", "ide-hd,drive=b"], 1, [(0, 0)]),
        (["-cdrom", "x.iso"], 1, [(1, 1)]),
        (["-drive", "file=x"], 3, [(0, 1), (1, 0), (1, 1)]),
        (["-drive", "file=x,index=here"], 1, [(1, 0)]),
    ],
)
def test_ide_disks_beside_those_of_kvm_extra(extra, disks, places):
    assert ide.new_places(0, disks, is_q35=False, extra=extra) == places


def test_too_many_with_those_of_kvm_extra():
    with pytest.raises(errors.HypervisorError, match="has 4, 1 of them for kvm_extra"):
        ide.new_places(0, 4, is_q35=False, extra=["-cdrom", "x"])
