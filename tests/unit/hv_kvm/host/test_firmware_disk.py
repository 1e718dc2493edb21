"""Firmware on a disk, what its code tells, and the mappings that upstream's module makes of it."""

from __future__ import annotations

import lzma
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ganeti import constants, errors, utils

from ganeti_hv_kvm.hv_kvm import KVMHypervisor, firmware
from ganeti_hv_kvm.hv_kvm.host import firmware_disk, firmware_image
from harness import firmware_disk as ovmf

HVP = {constants.HV_DISK_CACHE: "default"}
NAME = "web1.example.com"
MIB = 1 << 20


def disk(role: str = "firmware", dev_type: str = "file", **params: Any) -> Any:
    return SimpleNamespace(role=role, dev_type=dev_type, params=params)


def image(folder: Path, content: bytes) -> str:
    path = folder / "firmware.img"
    path.write_bytes(content)
    return str(path)


def sound() -> bytes:
    return ovmf.seeded()


def test_it_is_found_at_any_place() -> None:
    data, found = (disk("data"), "/d0", None), (disk(), "/fw", None)
    assert KVMHypervisor._FindFirmwareDisk([data, found, data]) is found
    assert KVMHypervisor._FindFirmwareDisk([data, (SimpleNamespace(), "/d1", None)]) is None


def test_its_regions_are_read(tmp_path: Path) -> None:
    path = image(tmp_path, sound())
    found = firmware_disk.look(NAME, [(disk(), path, None)], HVP)
    assert (found.path, found.is_file, found.direct) == (path, True, False)
    assert found.layout == {"code": (MIB, 1966080), "vars": (3 * MIB, 131072)}
    shared = firmware_disk.look(NAME, [(disk(dev_type="sharedfile"), path, None)], HVP)
    assert shared.direct, "the other node must see what was written"


def with_layout(layout: firmware.Layout) -> Callable[[], bytes]:
    return lambda: firmware.PackSuperblock(layout).ljust(8 * MIB, b"\0")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda: b"", "cut off: 0 bytes"),
        (lambda: bytes(512), "the firmware disk of web1.example.com: this is no firmware disk"),
        (lambda: sound()[: 3 * MIB], "has 3145728 bytes, and its regions end at 3276800"),
        (with_layout({"code": (MIB, 4096)}), "QEMU needs code and variables"),
        (with_layout({"code": (MIB, 4096), "vars": (2 * MIB, 1000)}), "in whole sectors"),
        (with_layout({"code": (MIB, 9 * MIB), "vars": (10 * MIB, 4096)}), "at most"),
    ],
)
def test_what_cannot_be_used(tmp_path: Path, content: Callable[[], bytes], says: str) -> None:
    path = image(tmp_path, content())
    with pytest.raises(errors.HypervisorError, match=says):
        firmware_disk.look(NAME, [(disk(), path, None)], HVP)


def test_what_is_not_there() -> None:
    for disks, says in (
        ([(disk("data"), "/d0", None)], "none of its disks has the role firmware"),
        ([(disk(access="userspace"), "/fw", "rbd:p/i")], "over the network"),
        ([(disk(), "/is/not/there", None)], "cannot be read: .*No such file"),
    ):
        with pytest.raises(errors.HypervisorError, match=says):
            firmware_disk.look(NAME, disks, HVP)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("OVMF_CODE.fd", False),
        ("OVMF_CODE_4M.fd", False),
        ("OVMF_CODE.secboot.fd", True),
        ("OVMF_CODE_4M.secboot.fd", True),
    ],
)
def test_debians_code_tells_whether_it_needs_smm(code: str, expected: bool) -> None:
    assert firmware_image.needs_smm((ovmf.OVMF / code).read_bytes()) is expected


def test_code_of_another_form() -> None:
    section = firmware_image._LZMA
    for code in (b"", section, section * 3, b"abcd" + section + b"\x18\0" + bytes(30)):
        assert firmware_image.needs_smm(code) is False
    volume = lzma.compress(b"x" + firmware_image._SMM_CORE, format=lzma.FORMAT_ALONE)
    head = b"....", section, b"\x18\0", b"\x01\0"
    assert firmware_image.needs_smm(b"".join([*head, volume])) is True
    assert firmware_image.needs_smm(b"".join([*head, volume[:-9]])) in {True, False}


class Commands:
    """Answers in the place of dmsetup and losetup: few kernels of test machines have both."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: Any) -> None:
        self.given: list[list[str]] = []
        self._answers = answers
        monkeypatch.setattr(utils, "RunCmd", self._run)

    def _run(self, command: list[str], **_more: Any) -> Any:
        self.given.append(command)
        said = self._answers.get(command[1], "")
        failed = isinstance(said, Exception)
        return SimpleNamespace(failed=failed, stdout=said, output=str(said))


def test_a_region_as_upstream_maps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands(monkeypatch)
    for region, read_only in (("code", True), ("vars", False)):
        path = KVMHypervisor._ExposeFirmwareRegion(
            "inst1", region, "/dev/drbd0", MIB, 4096, ro=read_only
        )
        assert path == f"/dev/mapper/inst1-ovmf-{region}"
        assert path == KVMHypervisor._FirmwareDmPath("inst1", region)
    table = ["--table", "0 8 linear /dev/drbd0 2048"]
    assert commands.given == [
        ["dmsetup", "create", "inst1-ovmf-code", "--readonly", *table],
        ["dmsetup", "create", "inst1-ovmf-vars", *table],
    ]


def test_a_region_that_cannot_be_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    Commands(monkeypatch, create=OSError("Device busy"))
    with pytest.raises(errors.HypervisorError, match=r"cannot be mapped: .*busy"):
        KVMHypervisor._ExposeFirmwareRegion("inst1", "code", "/dev/drbd0", MIB, 4096, ro=True)


def test_what_a_mapping_lies_on(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands(monkeypatch, **{"-f": "/dev/loop3\n"})
    assert KVMHypervisor._FirmwareRegionBase(disk(dev_type="drbd"), "/dev/drbd0") == "/dev/drbd0"
    assert commands.given == []
    assert KVMHypervisor._FirmwareRegionBase(disk(), "/srv/fw.img") == "/dev/loop3"
    assert commands.given == [["losetup", "-f", "--show", "/srv/fw.img"]]


def test_clean_up_where_nothing_is(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands(monkeypatch)
    KVMHypervisor._CleanupFirmwareDisk("inst1")
    assert commands.given == []


def test_clean_up_of_what_upstream_left(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands(monkeypatch, deps="1 dependencies\t: (loop5)\n")
    monkeypatch.setattr(os.path, "exists", lambda _path: True)
    KVMHypervisor._CleanupFirmwareDisk("inst1")
    assert [command[:2] for command in commands.given] == [
        ["dmsetup", "deps"],
        ["dmsetup", "remove"],
        ["dmsetup", "deps"],
        ["dmsetup", "remove"],
        ["losetup", "-d"],
    ]
    assert commands.given[-1] == ["losetup", "-d", "/dev/loop5"]


def test_a_mapping_in_use_stays_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands(monkeypatch, deps="1 dependencies : (loop5)", remove=OSError("busy"))
    monkeypatch.setattr(os.path, "exists", lambda _path: True)
    with pytest.raises(errors.HypervisorError, match="inst1-ovmf-code of a firmware disk is still"):
        KVMHypervisor._CleanupFirmwareDisk("inst1")
    assert ["losetup", "-d", "/dev/loop5"] not in commands.given


def test_set_up_maps_both_regions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = image(tmp_path, sound())
    commands = Commands(monkeypatch, **{"-f": "/dev/loop0\n"})
    made = SimpleNamespace(name="inst1", hvparams=HVP)
    KVMHypervisor._SetupFirmwareDisk(made, [(disk("data"), "/d0", None), (disk(), path, None)])
    assert [command[:3] for command in commands.given] == [
        ["losetup", "-f", "--show"],
        ["dmsetup", "create", "inst1-ovmf-code"],
        ["dmsetup", "create", "inst1-ovmf-vars"],
    ]
    assert "--readonly" in commands.given[1]
