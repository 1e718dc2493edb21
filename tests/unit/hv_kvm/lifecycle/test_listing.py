"""Which names are listed: what cannot be told stays in the list."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.lifecycle import listing


def test_runtime_files_by_name_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b.runtime", "a.example.com.runtime", "c", ".runtime", "d\n.runtime", "ü.runtime"):
        (tmp_path / name).touch()
    assert listing.names_with_runtime(str(tmp_path)) == ["a.example.com", "b"]


def test_each_of_its_files_is_enough(tmp_path: Path) -> None:
    pids, ctrl, conf = folders = [tmp_path / name for name in ("pid", "ctrl", "conf")]
    for folder in folders:
        folder.mkdir()
    (conf / "d.runtime").touch()
    (pids / "a").touch()
    (ctrl / "b.qmp").touch()
    (ctrl / "a.qmp").touch()
    (ctrl / "c.monitor").touch()
    assert listing.names_here(*map(str, folders)) == ["a", "b", "d"]


def test_a_folder_that_cannot_be_read_is_no_empty_list(tmp_path: Path) -> None:
    os.symlink("loop", tmp_path / "loop")
    with pytest.raises(errors.HypervisorError, match="cannot be told which instances run here"):
        listing.names_with_runtime(str(tmp_path / "loop"))


def test_doubt_stays_in_the_list(caplog: pytest.LogCaptureFixture) -> None:
    def pid_alive(name: str) -> tuple[str, int, bool]:
        if name == "unreadable":
            raise errors.HypervisorError("its pid file cannot be read")
        return "", 7, name == "up"

    assert listing.running(["up", "down", "unreadable"], pid_alive) == ["up", "unreadable"]
    assert "its pid file cannot be read. It stays in the list" in caplog.text
