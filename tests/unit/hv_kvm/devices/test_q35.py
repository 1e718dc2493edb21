"""The q35 machine's places."""

from __future__ import annotations

import itertools

import pytest
from ganeti import constants

from ganeti_hv_kvm.hv_kvm.devices import q35


@pytest.mark.parametrize(
    ("machine", "is_one"),
    [
        ("q35", True),
        ("pc-q35-7.2", True),
        ("pc-q35-rhel9.4.0", True),
        ("pc", False),
        ("pc-i440fx-7.2", False),
        ("microvm", False),
        ("", False),
        (None, False),
    ],
)
def test_machines(machine: str | None, is_one: bool) -> None:
    assert q35.is_q35(machine) is is_one


def test_there_is_a_port_for_every_device_that_ganeti_allows() -> None:
    assert len(q35.NIC_SLOTS) == constants.MAX_NICS
    assert len(q35.DISK_SLOTS) == constants.MAX_DISKS


def test_no_slot_has_two_uses() -> None:
    qemus_own = [0x00, 0x01, 0x1F]
    slots = [*qemus_own, q35.FIXED_SLOT, *q35.NIC_SLOTS, *q35.DISK_SLOTS]
    assert len(set(slots)) == len(slots)
    assert max(slots) < constants.QEMU_PCI_SLOTS


def test_what_is_always_there_shares_a_slot() -> None:
    places = [dict(q35.fixed_place(function)) for function in q35.Function]
    assert {place["bus"] for place in places} == {"pcie.0"}
    assert [place["addr"] for place in places] == [f"0x2.{number}" for number in range(7)]
    # QEMU takes the others only if the first says that it is not alone.
    assert [place.get("multifunction") for place in places] == ["on", *[None] * 6]


def test_ports_have_names() -> None:
    for slot in itertools.chain(q35.NIC_SLOTS, q35.DISK_SLOTS):
        assert q35.slot_of(q35.port_at(slot)) == slot
    for other in ("pci.0", "pcie.0", "scsi.0", "rp", "rpx", "3", "", "rp-3"):
        assert q35.slot_of(other) is None


def test_a_guest_is_known_by_its_command() -> None:
    port = "pcie-root-port,id=rp3,bus=pcie.0,addr=0x3,chassis=3,port=3"
    assert q35.has_root_ports(["/bin/qemu", "-m", 128, "-device", port])
    for command in (
        ["/bin/qemu", "-machine", "q35"],
        ["/bin/qemu", "-device", "pcie-root-port,id=mine,bus=pcie.0"],
        ["/bin/qemu", "-device", "virtio-blk-pci,bus=rp3,addr=0x0"],
    ):
        assert not q35.has_root_ports(command)
