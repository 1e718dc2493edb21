"""Where the files of an instance lie, and that all of them go."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from ganeti import errors, pathutils

from ganeti_hv_kvm.hv_kvm.guest import files as instance_files
from ganeti_hv_kvm.hv_kvm.guest.files import Directories, InstanceFiles


@pytest.fixture
def files(tmp_path: Path) -> InstanceFiles:
    names = ("pid", "uid", "ctrl", "conf", "nic", "chroot", "chroot-quarantine")
    for name in names:
        (tmp_path / name).mkdir()
    return InstanceFiles(Directories(*(str(tmp_path / name) for name in names)), "web1")


def everything_below(path: str) -> list[str]:
    return [os.path.join(base, name) for base, _, names in os.walk(path) for name in names]


def test_places_are_those_of_ganeti(files):
    base = os.path.dirname(files.directories.pids)
    assert [
        os.path.relpath(path, base)
        for path in (files.pidfile, *files.sockets, files.shutdown, files.runtime)
    ] == [
        "pid/web1",
        "ctrl/web1.monitor",
        "ctrl/web1.serial",
        "ctrl/web1.qmp",
        "ctrl/web1.kvmd",
        "ctrl/web1.qga",
        "ctrl/web1.shutdown",
        "conf/web1.runtime",
    ]
    assert files.nic_file(3).endswith("/nic/web1/3")


def test_a_name_cannot_lead_elsewhere(files):
    with pytest.raises(errors.HypervisorError, match="not the name of an instance"):
        _ = InstanceFiles(files.directories, "../../etc/passwd").pidfile


def test_remove_all_leaves_nothing(files, tmp_path):
    for path in (files.pidfile, files.runtime):
        Path(path).touch()
    for path in files.sockets:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
    os.makedirs(files.nic_dir)
    Path(files.nic_file(0)).write_text("tap0")
    os.mkdir(files.chroot)
    instance_files.remove_all(files)
    assert everything_below(str(tmp_path)) == []
    assert not os.path.exists(files.nic_dir)
    assert not os.path.exists(files.chroot)


def test_remove_all_of_nothing(files):
    instance_files.remove_all(files)


def test_remove_all_goes_on_after_a_problem_and_names_it(files):
    Path(files.nic_dir).touch()
    os.mkdir(files.chroot)
    with pytest.raises(errors.HypervisorError, match="nic/web1"):
        instance_files.remove_all(files)
    assert not os.path.exists(files.chroot)


def test_the_uid_goes_back_to_the_pool(files):
    os.makedirs(pathutils.UIDPOOL_LOCKDIR, exist_ok=True)
    lock = Path(pathutils.UIDPOOL_LOCKDIR, "64321")
    lock.touch()
    Path(files.uidfile).write_text("64321")
    instance_files.remove_all(files)
    assert not lock.exists()
    assert not os.path.exists(files.uidfile)


@pytest.mark.parametrize("content", ["", "x", "12 34"])
def test_a_damaged_uid_file_is_no_hindrance(files, content):
    Path(files.uidfile).write_text(content)
    assert instance_files.read_uid(files.uidfile) is None
    instance_files.remove_all(files)
    assert not os.path.exists(files.uidfile)


def test_a_dirty_chroot_is_quarantined(files):
    os.mkdir(files.chroot)
    Path(files.chroot, "evidence").write_text("somebody was here")
    instance_files.remove_all(files)
    assert not os.path.exists(files.chroot)
    [found] = everything_below(files.directories.chroot_quarantine)
    assert Path(found).read_text() == "somebody was here"
    assert os.path.basename(os.path.dirname(found)).startswith("web1-")


@pytest.mark.parametrize("put_there", ["a file", "a link", "a folder as the key", "no folder"])
def test_what_qemu_left_beside_its_key_is_quarantined_too(files, tmp_path, put_there):
    """Fault: an instance that had gone could not be cleaned up: its files were "still there"."""
    folder = Path(files.key_folder_in_chroot)
    os.mkdir(files.chroot)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keys.psk").write_text("somebody else's")
    if put_there == "a link":
        folder.symlink_to(outside)
    elif put_there == "no folder":
        folder.write_text("evidence")
    else:
        folder.mkdir()
        (folder / "keys.psk").write_text("qemu:00")
        (folder / "evidence").write_text("somebody was here")
    if put_there == "a folder as the key":
        (folder / "keys.psk").unlink()
        (folder / "keys.psk").mkdir()
    instance_files.remove_all(files)
    assert not os.path.exists(files.chroot)
    assert (outside / "keys.psk").read_text() == "somebody else's"
    quarantined = Path(files.directories.chroot_quarantine)
    assert list(quarantined.rglob(instance_files.KEYS_IN_CHROOT))
    assert not [one for one in quarantined.rglob("keys.psk") if one.is_file()]


def test_names_that_the_kernel_would_refuse_are_refused_first():
    run = "/run/ganeti/kvm-hypervisor"
    directories = Directories(
        *(f"{run}/{name}" for name in ("pid", "uid", "ctrl", "conf", "nic", "ch", "qu"))
    )
    longest = 107 - len(f"{run}/ctrl/.monitor")
    instance_files.check_names(InstanceFiles(directories, "a" * longest))
    for name in ("a" * (longest + 1), "ä" * (longest // 2 + 1), "a" * 255, "a" * 5000):
        with pytest.raises(errors.HypervisorError, match="too long for the file /run"):
            instance_files.check_names(InstanceFiles(directories, name))
    short = directories._replace(ctrl="/r")
    with pytest.raises(errors.HypervisorError, match="1 bytes too long"):
        instance_files.check_names(InstanceFiles(short, "a" * (107 - len("/r/.monitor") + 1)))
