"""The end of a log."""

from __future__ import annotations

import os

import pytest

from ganeti_hv_kvm.cli.node import qemu_log


def test_the_last_lines(tmp_path):
    path = tmp_path / "log"
    path.write_text("".join(f"line {number}\n\n" for number in range(100)))
    found = qemu_log.read_end(path, 3)
    assert found.lines == ("line 97", "line 98", "line 99")
    assert found.size == path.stat().st_size
    assert qemu_log.read_end(path, 0).lines == ()


def test_a_long_one_begins_with_a_whole_line(tmp_path):
    path = tmp_path / "log"
    path.write_text("x" * 100 + "\n" + f"{'y' * 99}\n" * 5000)
    assert set(qemu_log.read_end(path, 10**6).lines) == {"y" * 99}


def test_what_qemu_wrote_is_quoted_and_masked(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"\x1b[2Jqemu: password=geheim\xff\n")
    (line,) = qemu_log.read_end(path, 5).lines
    assert "\x1b" not in line
    assert "geheim" not in line


def test_none_and_what_is_no_file(tmp_path):
    assert qemu_log.read_end(tmp_path / "x", 3) is None
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"seek|Illegal"):
        qemu_log.read_end(tmp_path / "pipe", 3)
    with pytest.raises(IsADirectoryError):
        qemu_log.read_end(tmp_path, 3)
