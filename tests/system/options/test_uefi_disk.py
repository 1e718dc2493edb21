"""The disk of UEFI by tag: what is written to it, what is refused; and it is no guest's disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm import QmpConnection, firmware
from ganeti_hv_kvm.hv_kvm.host import firmware_seed
from ganeti_hv_kvm.hv_kvm.lifecycle import options_report
from harness import firmware_disk, guest, instance
from harness.block_device import block_device
from harness.uefi_by_tag import NAME, TAG, made_of, stored

# `make test-uefi` has all of it under each Ganeti.
pytestmark = [pytest.mark.rather_3_1, pytest.mark.one_in(3)]
DISK = constants.HOTPLUG_TARGET_DISK
MIB = 1 << 20


def ask(hypervisor: Any, command: str, **arguments: Any) -> Any:
    with QmpConnection(hypervisor._InstanceQmpMonitor(NAME)) as connected:
        return connected.execute_qmp(command, arguments or None)


def peripherals(hypervisor: Any) -> set[str]:
    found = ask(hypervisor, "qom-list", path="/machine/peripheral")
    return {one["name"] for one in found if one["type"].startswith("child<")}


def drives(hypervisor: Any) -> list[dict[str, Any]]:
    """The disks that the guest sees; its flash chips are none."""
    found = [one for one in ask(hypervisor, "query-block") if one.get("inserted")]
    return [one for one in found if "flash" not in one["qdev"]]


@pytest.fixture
def disks(tmp_path: Path) -> list[Any]:
    """A blank disk for the firmware, the first of Ganeti's disks, and one that it starts from."""
    return [firmware_disk.named(tmp_path), instance.disk(tmp_path)]


# What is written, and what is not


def test_a_blank_disk_is_seeded_once(hypervisor, disks):
    made = made_of(disks)
    hypervisor.StartInstance(made, disks, True)
    image = Path(disks[0][1])
    code, variables = (Path(path).read_bytes() for path in firmware_seed.TEMPLATES[0])
    layout = firmware.UnpackSuperblock(image.read_bytes()[:512])
    assert layout == firmware.ComputeLayout(len(code), len(variables))
    assert firmware_disk.region(image, "code") == code
    assert firmware_disk.region(image, "vars") == variables
    nodes = {one["node-name"]: one["file"] for one in ask(hypervisor, "query-named-block-nodes")}
    assert all(str(image) in nodes[name] for name in ("ovmf-code", "ovmf-vars"))
    hypervisor.StopInstance(made, force=True)
    hypervisor.CleanupInstance(NAME)
    with image.open("r+b") as file:
        file.seek(layout["vars"][0] + 4096)
        file.write(b"a variable")
    before = image.read_bytes()
    hypervisor.StartInstance(made_of(disks), disks, True)
    assert image.read_bytes() == before


def test_a_block_device_is_seeded(hypervisor, disks):
    """As a logical volume or DRBD is one."""
    disk, image, _ = disks[0]
    disk.dev_type = constants.DT_PLAIN
    with block_device(Path(image)) as path:
        both = [(disk, path, None), disks[1]]
        made = made_of(both)
        hypervisor.StartInstance(made, both, True)
        nodes = {
            one["node-name"]: one["file"] for one in ask(hypervisor, "query-named-block-nodes")
        }
        assert all(path in nodes[name] for name in ("ovmf-code", "ovmf-vars"))
        code, variables = (Path(template).read_bytes() for template in firmware_seed.TEMPLATES[0])
        assert firmware_disk.region(path, "code") == code
        assert firmware_disk.region(path, "vars") == variables
        hypervisor.StopInstance(made, force=True)
        hypervisor.CleanupInstance(NAME)
    assert firmware_disk.region(image, "code") == code


def test_a_seed_that_broke_off_is_finished(hypervisor, disks):
    code = Path(firmware_seed.TEMPLATES[0][0]).read_bytes()
    with open(disks[0][1], "r+b") as file:
        file.seek(MIB)
        file.write(code[:100_000].ljust(100_352, b"\0")[: 195 * 512])
    hypervisor.StartInstance(made_of(disks), disks, True)
    assert firmware_disk.region(disks[0][1], "code") == code


@pytest.mark.parametrize(
    "at", [0, 700, MIB, MIB + 3000, 31 * MIB, 32 * MIB - 1], ids=lambda at: f"byte-{at}"
)
def test_what_is_not_blank_is_left_alone(hypervisor, disks, nothing_left, at):
    with open(disks[0][1], "r+b") as file:
        file.seek(at)
        file.write(b"\x01")
    before = Path(disks[0][1]).read_bytes()
    where = at // 512 * 512
    with pytest.raises(errors.HypervisorError, match=rf"neither blank nor .* at byte {where}\."):
        hypervisor.StartInstance(made_of(disks), disks, True)
    assert Path(disks[0][1]).read_bytes() == before
    nothing_left()


def _unnamed(disks: list[Any]) -> None:
    disks[0][0].name = None


def _twice(disks: list[Any]) -> None:
    disks[1][0].name = "firmware"


def _too_small(disks: list[Any]) -> None:
    os.truncate(disks[0][1], 5 * MIB)


def _too_large(disks: list[Any]) -> None:
    os.truncate(disks[0][1], (2 << 30) + MIB)


def _over_the_network(disks: list[Any]) -> None:
    disks[0][0].params = {constants.LDP_ACCESS: constants.DISK_USERSPACE}


def _not_there(disks: list[Any]) -> None:
    os.remove(disks[0][1])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_unnamed, "none of its disks has the name firmware"),
        (_twice, "2 of its disks have the name firmware"),
        (_too_small, "has 5242880 bytes; UEFI firmware needs 6291456"),
        (_too_large, "more than 2147483648 is not taken"),
        (_over_the_network, "over the network"),
        (_not_there, "its firmware disk cannot be read"),
    ],
)
def test_no_start_without_a_disk_for_it(hypervisor, disks, nothing_left, spoil, says):
    spoil(disks)
    with pytest.raises(errors.HypervisorError, match=says):
        hypervisor.StartInstance(made_of(disks), disks, True)
    nothing_left()


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"kernel_path": str(guest.kernel())}, "it boots a kernel of the node's, /.*vmlinuz"),
        ({"boot_order": "floppy"}, "boot_order is floppy"),
        ({"kvm_extra": "-bios /usr/share/ovmf/OVMF.fd"}, r"firmware or a kernel .*\(-bios\)"),
        ({"kvm_extra": "-drive if=pflash,file=/fw"}, r"firmware or a kernel .*\(pflash\)"),
    ],
)
def test_no_start_where_parameters_say_otherwise(hypervisor, disks, nothing_left, parameters, says):
    with pytest.raises(errors.HypervisorError, match=says):
        hypervisor.StartInstance(made_of(disks, **parameters), disks, True)
    assert Path(disks[0][1]).read_bytes() == bytes(32 * MIB)
    nothing_left()


def test_no_first_start_without_ovmf(hypervisor, disks, nothing_left, monkeypatch):
    """The next ones need none of it: the disk has all."""
    with monkeypatch.context() as patched:
        patched.setattr(firmware_seed, "TEMPLATES", [("/is/not/there.fd", "/nor/this.fd")])
        with pytest.raises(errors.HypervisorError, match=r"/is/not/there.fd are not there .*ovmf"):
            hypervisor.StartInstance(made_of(disks), disks, True)
        nothing_left()
        Path(disks[0][1]).write_bytes(firmware_disk.seeded())
        hypervisor.StartInstance(made_of(disks), disks, True)


def test_without_the_tag_it_is_a_disk_like_any_other(hypervisor, disks):
    made = made_of(disks)
    made.tags = []
    hypervisor.StartInstance(made, disks, True)
    assert {disk.hvinfo["id"] for disk, _, _ in disks} <= peripherals(hypervisor)
    assert Path(disks[0][1]).read_bytes() == bytes(32 * MIB)


# Beside other disks


def places(disks: list[Any]) -> list[dict[str, Any]]:
    return [disk.hvinfo for disk, _, _ in disks if disk.name != "firmware"]


@pytest.mark.parametrize("machine", ["pc", "q35"])
@pytest.mark.parametrize("kind", ["paravirtual", "scsi-hd"])
def test_other_disks_have_the_places_that_they_have_without(
    hypervisor, disks, tmp_path, machine, kind
):
    parameters = {"machine_version": machine, "disk_type": kind}
    data = instance.disk(tmp_path, 2)
    without = made_of([disks[1], data], **parameters)
    without.tags = []
    hypervisor.StartInstance(without, [disks[1], data], True)
    expected = [dict(place) for place in places([disks[1], data])]
    hypervisor.StopInstance(without, force=True)
    hypervisor.CleanupInstance(NAME)
    for disk, _, _ in (disks[1], data):
        disk.hvinfo = None
    both = [*disks, data]
    hypervisor.StartInstance(made_of(both, **parameters), both, True)
    assert places(both) == expected
    found = {disk.name: disk.hvinfo for disk, _, _ in stored(hypervisor).kvm_disks}
    assert found["firmware"] == {"role": "firmware"}
    shown = [drive["inserted"]["file"] for drive in drives(hypervisor)]
    assert len(shown) == 2
    assert not [file for file in shown if disks[0][1] in file]


def test_it_neither_comes_nor_goes_nor_grows(hypervisor, disks, tmp_path):
    made = made_of(disks, "hv-kvm:disk-iops:50", "hv-kvm:disk1-iops:20")
    hypervisor.StartInstance(made, disks, True)
    new, link, uri = instance.disk(tmp_path, 2)
    hypervisor.HotAddDevice(made, DISK, new, (link, uri), 2)
    renamed, _, _ = instance.disk(tmp_path, 99)  # by now it may be called otherwise
    before = stored(hypervisor).serialize()
    for change in (
        lambda: hypervisor.HotAddDevice(made, DISK, disks[0][0], disks[0][1:], 3),
        lambda: hypervisor.HotDelDevice(made, DISK, renamed, None, 0),
        lambda: hypervisor.ResizeDisk(made, renamed, 64 << 20),
    ):
        with pytest.raises(errors.HotplugError, match="holds the guest's UEFI firmware"):
            change()
    assert stored(hypervisor).serialize() == before
    assert sorted(drive["inserted"]["iops"] for drive in drives(hypervisor)) == [20, 50]
    assert [disk.name for disk, _, _ in stored(hypervisor).kvm_disks] == ["firmware", None, None]


def test_a_guest_that_runs_gets_no_disk_for_its_next_firmware(hypervisor, disks):
    made = made_of(disks[1:])
    made.tags = []
    hypervisor.StartInstance(made, disks[1:], True)
    made.tags = [TAG]
    with pytest.raises(errors.HotplugError, match="after the next shutdown and start"):
        hypervisor.HotAddDevice(made, DISK, disks[0][0], disks[0][1:], 1)
    assert len(stored(hypervisor).kvm_disks) == 1


# Told


def rows(hypervisor: Any, made: Any) -> dict[str, tuple[str, str, str]]:
    report = options_report.of(hypervisor._Guest(made))
    assert report.problems == []
    return {row.name: row[1:] for row in report.rows}


def test_what_is_in_force_is_told(hypervisor, disks):
    made = made_of(disks, "hv-kvm:disk1-iops:20")
    hypervisor.StartInstance(made, disks, True)
    assert rows(hypervisor, made)["firmware"] == ("uefi", "uefi", "")
    assert rows(hypervisor, made)["disk1-iops"] == ("20", "20", "")
    made.tags = []
    cold = "after the next shutdown and start"
    assert rows(hypervisor, made)["firmware"] == ("-", "uefi", cold)


def test_a_reboot_keeps_what_the_guest_was_born_with(hypervisor, disks, caplog):
    made = made_of(disks[1:])
    made.tags = []
    hypervisor.StartInstance(made, disks[1:], True)
    made.tags = [TAG]
    hypervisor.RebootInstance(made)
    cold = "after the next shutdown and start"
    assert rows(hypervisor, made)["firmware"] == ("uefi", "-", cold)


def test_a_reboot_that_would_lack_it_leaves_the_guest_running(hypervisor, disks, tmp_path):
    made = made_of(disks)
    hypervisor.StartInstance(made, disks, True)
    pid = hypervisor.GetInstanceInfo(NAME)[1]
    shutil.copy(disks[0][1], tmp_path / "kept")
    os.truncate(disks[0][1], 2 * MIB)
    with pytest.raises(errors.HypervisorError, match=r"still runs, as .*its regions end at"):
        hypervisor.RebootInstance(made)
    assert hypervisor.GetInstanceInfo(NAME)[1] == pid
    # blank is no better while it runs: what a reboot finds is never written
    Path(disks[0][1]).write_bytes(bytes(32 * MIB))
    with pytest.raises(errors.HypervisorError, match=r"still runs, as .*this is no firmware disk"):
        hypervisor.RebootInstance(made)
    assert Path(disks[0][1]).read_bytes() == bytes(32 * MIB)
