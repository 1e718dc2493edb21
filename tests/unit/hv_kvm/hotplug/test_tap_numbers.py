"""The files that say which TAP device belongs to which of an instance's NICs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ganeti_hv_kvm.hv_kvm.guest.files import Directories, InstanceFiles
from ganeti_hv_kvm.hv_kvm.hotplug import nic

#: There is such an interface on every machine.
USED = "lo"


@pytest.fixture
def files(tmp_path: Path) -> InstanceFiles:
    folders = {name: str(tmp_path / name) for name in Directories._fields}
    for folder in folders.values():
        Path(folder).mkdir()
    return InstanceFiles(Directories(**folders), "web1")


def recorded(files: InstanceFiles) -> dict[str, str]:
    folder = Path(files.nic_dir)
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


def write(files: InstanceFiles, *taps: str) -> None:
    os.makedirs(files.nic_dir, exist_ok=True)
    for number, tap in enumerate(taps):
        Path(files.nic_file(number)).write_text(tap)


def test_the_first_makes_the_folder(files: InstanceFiles) -> None:
    nic.record_tap(files, 0, "tap0")
    assert recorded(files) == {"0": "tap0"}
    assert nic.read_tap(files, 0) == "tap0"
    assert nic.read_tap(files, 1) is None


def test_those_behind_a_new_one_move_up(files: InstanceFiles) -> None:
    write(files, "tap0", USED, "tap2")
    nic.record_tap(files, 1, "new")
    assert recorded(files) == {"0": "tap0", "1": "new", "2": USED, "3": "tap2"}


def test_a_stale_record_is_replaced(files: InstanceFiles) -> None:
    write(files, USED, "no-such-tap", USED)
    nic.record_tap(files, 1, "new")
    assert recorded(files) == {"0": USED, "1": "new", "2": USED}


def test_those_behind_one_that_goes_move_down(files: InstanceFiles) -> None:
    write(files, "tap0", "tap1", "tap2", "tap3")
    nic.forget_tap(files, 1)
    assert recorded(files) == {"0": "tap0", "1": "tap2", "2": "tap3"}
    nic.forget_tap(files, 2)
    assert recorded(files) == {"0": "tap0", "1": "tap2"}


def test_other_files_are_nobodys_number(files: InstanceFiles) -> None:
    write(files, "tap0", "tap1")
    (Path(files.nic_dir) / "1.bak").write_text("mine")
    nic.forget_tap(files, 0)
    assert recorded(files) == {"0": "tap1", "1.bak": "mine"}


def test_nothing_recorded_is_nothing_to_forget(files: InstanceFiles) -> None:
    nic.forget_tap(files, 0)
    assert not os.path.exists(files.nic_dir)
