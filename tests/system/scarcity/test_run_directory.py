"""A run directory that is full, read-only or gone, or in which odd things lie."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ganeti import errors

from harness import instance
from system.scarcity.conftest import NAME, Bench, in_child

pytestmark = [pytest.mark.only_3_0, pytest.mark.one_in(2)]

_FOLDERS = ("pid", "uid", "ctrl", "conf", "nic", "chroot")


def _nothing() -> None:
    pass


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system of its own in place of a folder; its content is there, too."""
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept, ignore=lambda base, names: [
        name for name in names if not Path(base, name).is_dir()
    ])  # fmt: skip
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        shutil.rmtree(kept)


def fill(folder: Path) -> Path:
    """Takes every byte."""
    filler = folder / "filler"
    with filler.open("wb") as file, contextlib.suppress(OSError):
        while True:
            os.write(file.fileno(), bytes(512))
    return filler


def test_a_full_run_directory(bench: Bench) -> None:
    with mounted(bench.run_folder, "size=256k"):
        filler = fill(bench.run_folder)
        outcome = in_child(bench.start, take=_nothing)
        assert outcome.is_right, outcome
        assert outcome.kinds
        assert bench.left() == ["file: filler"] or bench.left() == []
        filler.unlink()
        bench.start()
        filler = fill(bench.run_folder)
        for request, device in ((bench.add_nic, "nic-"), (bench.add_disk, "disk-")):
            before = bench.left()
            outcome = in_child(request, take=_nothing)
            assert outcome.is_right, outcome
            # a guest that was started paused releases nothing
            assert bench.left() == before or f"not undone: {device}" in outcome.text, outcome
        assert bench.names() == bench.infos() == [NAME]
        for request in (bench.stop, bench.clean_up):
            outcome = in_child(request, take=_nothing)
            assert not outcome.kinds, outcome
        filler.unlink()
        assert bench.left() == []


def test_no_inode_left(bench: Bench) -> None:
    with mounted(bench.run_folder, "nr_inodes=24"):
        bench.start()
        bench.stop()
        bench.clean_up()
        made = 0
        with contextlib.suppress(OSError):
            while True:
                (bench.run_folder / f"filler{made}").touch()
                made += 1
        before = bench.left()
        outcome = in_child(bench.start, take=_nothing)
        assert outcome.is_right, outcome
        assert outcome.kinds
        assert bench.left() == before, outcome


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody new can write there; QEMU goes on with what it has open."""
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_run_directory_that_became_read_only(bench: Bench) -> None:
    with read_only(bench.run_folder):
        outcome = in_child(bench.start, take=_nothing)
        assert outcome.is_right, outcome
        assert outcome.kinds
        assert bench.left() == []
    bench.start()
    with read_only(bench.run_folder):
        before = bench.left()
        assert in_child(bench.names, take=_nothing).value == [NAME]
        assert in_child(bench.infos, take=_nothing).value == [NAME]
        for request, device in ((bench.add_nic, "nic-"), (bench.add_disk, "disk-")):
            outcome = in_child(request, take=_nothing)
            assert outcome.is_right, outcome
            assert bench.left() == before or f"not undone: {device}" in outcome.text, outcome
        for request in (bench.start, bench.clean_up):
            outcome = in_child(request, take=_nothing)
            assert outcome.is_right, outcome
            assert outcome.kinds
        assert bench.names() == [NAME]
    bench.stop()
    bench.clean_up()


@pytest.mark.parametrize("gone", ["", *_FOLDERS])
def test_a_missing_directory_is_made_again(bench: Bench, gone: str) -> None:
    shutil.rmtree(bench.run_folder / gone)
    outcome = in_child(bench.names, take=_nothing)
    assert outcome.is_right, outcome
    bench.hypervisor = type(bench.hypervisor)()  # as for each request of Ganeti's
    assert bench.names() == bench.infos() == []
    bench.start()
    bench.stop()
    bench.clean_up()


@pytest.mark.parametrize("length", [1, 2, 30, 63, 64, 100, 107, 108, 200, 239, 250, 255, 256, 5000])
def test_a_name_of_any_length(bench: Bench, length: int) -> None:
    name = "n" * length
    bench.guest.name = name
    outcome = in_child(bench.start, take=_nothing)
    assert outcome.is_right, outcome
    if outcome.kinds:
        assert "too long for the file" in outcome.text
        assert bench.left() == []
        assert length > 30
    else:
        assert bench.names() == [name]
    with contextlib.suppress(errors.HypervisorError):
        bench.stop()
        bench.hypervisor.CleanupInstance(name)


def test_the_longest_name_that_is_taken(bench: Bench) -> None:
    longest = 107 - len(str(bench.run_folder / "ctrl" / ".monitor"))
    bench.guest = instance.instance("n" * longest, nics=[instance.nic()], memory=64)
    bench.disks = []
    bench.start()
    assert bench.names() == [bench.guest.name]
    bench.stop()
    bench.hypervisor.CleanupInstance(bench.guest.name)
    bench.guest.name += "n"
    with pytest.raises(errors.HypervisorError, match="1 bytes too long"):
        bench.start()
    assert bench.left() == []


@pytest.mark.parametrize("name", ["a/b", "..", ".", "", "a\0b"])
def test_a_name_that_is_none(bench: Bench, name: str) -> None:
    bench.guest.name = name
    requests: list[Callable[[], object]] = [
        bench.start,
        bench.stop,
        bench.reboot,
        lambda: bench.hypervisor.CleanupInstance(name),
        lambda: bench.hypervisor.GetInstanceInfo(name),
    ]
    for request in requests:
        outcome = in_child(request, take=_nothing)
        assert outcome.is_right, outcome
    assert bench.left() == []
