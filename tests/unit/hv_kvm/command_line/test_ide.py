"""Places on IDE buses, as real QEMUs 7.2 and 10.0 gave them to the same words."""

from __future__ import annotations

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.command_line import ide

CD = ["-drive", "file=/a.iso,media=cdrom,format=raw,if=ide"]
BLOCK_CD = ["-blockdev", "node-name=cdrom1", "-device", "ide-cd,drive=cdrom1"]
EMPTY_CD = ["-device", "ide-cd,bus=ide.1,unit=0"]


@pytest.mark.parametrize(
    ("command", "disks", "places", "more"),
    [
        ([], 1, [(0, 0)], EMPTY_CD),
        ([], 2, [(0, 0), (0, 1)], EMPTY_CD),
        (CD, 1, [(0, 1)], EMPTY_CD),
        (CD * 2, 1, [(1, 0)], []),
        (CD * 2, 2, [(1, 0), (1, 1)], []),
        (["-nodefaults"], 1, [(0, 0)], []),
        (["-device", "ide-cd,bus=ide.1,unit=1"], 1, [(0, 0)], []),
        (["-drive", "if=ide,index=0,file=x"], 1, [(0, 1)], EMPTY_CD),
        (["-drive", "if=floppy,file=x"], 1, [(0, 0)], EMPTY_CD),
        (["-hda", "x", "-cdrom", "y"], 1, [(0, 1)], []),
        (["-machine", "pc-q35-7.2"], 2, [(0, 0), (1, 0)], ["-device", "ide-cd,bus=ide.2,unit=0"]),
        (["-machine", "q35", *CD, *CD], 1, [(2, 0)], []),
    ],
)
def test_where_3_0_put_them(command, disks, places, more):
    assert ide.old_places(command, disks, ide.DRIVE) == (places, more)


@pytest.mark.parametrize(
    ("command", "disks", "places"),
    [
        ([], 1, [(1, 0)]),
        ([], 2, [(1, 0), (1, 1)]),
        (BLOCK_CD, 1, [(1, 1)]),
        (["-M", "pc-q35-7.2"], 1, [(5, 0)]),
    ],
)
def test_where_3_1_put_them(command, disks, places):
    assert ide.old_places(command, disks, ide.BLOCKDEV) == (places, [])


def test_what_qemu_would_not_have_started_is_not_guessed():
    with pytest.raises(ValueError, match="3 IDE devices"):
        ide.old_places([], 3, ide.BLOCKDEV)


@pytest.mark.parametrize(
    ("command", "hvp", "born"),
    [
        (CD, {"cdrom_image_path": "/a.iso"}, ide.DRIVE),
        (BLOCK_CD, {"cdrom_image_path": "/a.iso", "disk_discard": "ignore"}, ide.BLOCKDEV),
        (["-chroot", "/c"], {"disk_discard": "ignore"}, ide.DRIVE),
        ([], {"disk_discard": "default"}, ide.DRIVE),
        ([], {"disk_discard": "unmap"}, None),
        (["-blockdev", "node-name=own"], {"disk_discard": "unmap"}, None),
    ],
)
def test_whose_words_started_a_guest(command, hvp, born):
    assert ide.origin(command, hvp) == born


@pytest.mark.parametrize(
    ("cdroms", "disks", "places"),
    [
        (0, 1, [(1, 0)]),
        (1, 1, [(1, 0), (1, 1)]),
        (2, 1, [(0, 0), (0, 1), (1, 0)]),
        (2, 2, [(0, 0), (0, 1), (1, 0), (1, 1)]),
    ],
)
def test_new_guests(cdroms, disks, places):
    assert ide.new_places(cdroms, disks, is_q35=False) == places


def test_a_fifth_one_has_no_place():
    with pytest.raises(errors.HypervisorError, match="no place for 5 IDE"):
        ide.new_places(1, 4, is_q35=False)
