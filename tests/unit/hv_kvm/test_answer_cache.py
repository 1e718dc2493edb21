"""Answers of a binary are kept while it is the same binary, and never in doubt."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from unittest import mock

import pytest
from ganeti import errors, utils

from ganeti_hv_kvm.hv_kvm import answer_cache, qemu_binary


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.setattr(answer_cache, "directory", lambda: str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def qemu(tmp_path):
    """A program that counts its runs; by name it is no QEMU, so only itself is looked at."""
    runs = tmp_path / "runs"
    program = tmp_path / "program"

    def write(version: str, status: int = 0) -> str:
        program.write_text(
            f"#!/bin/sh\necho run >>{runs}\necho emulator version {version}\nexit {status}\n"
        )
        program.chmod(0o755)
        return str(program)

    write.runs = lambda: len(runs.read_text().split()) if runs.exists() else 0
    return write


def test_a_question_is_put_once(qemu):
    path = qemu("7.2.0")
    assert [qemu_binary.probe(path).version for _ in range(3)] == [("7.2.0", 7, 2, 0)] * 3
    assert qemu.runs() == 1


def test_a_new_binary_is_asked_again(qemu):
    path = qemu("7.2.0")
    assert qemu_binary.probe(path).version[0] == "7.2.0"
    qemu("10.0.2")
    assert qemu_binary.probe(path).version[0] == "10.0.2"


def test_a_script_stands_for_the_programs_that_it_names(tmp_path):
    program = tmp_path / "qemu-real"
    program.write_bytes(b"\x7fELF one")
    program.chmod(0o755)
    script = tmp_path / "wrapper"
    script.write_text(f'#!/bin/sh\nexec {program} "$@"\n')
    before = answer_cache.identity(str(script))
    program.write_bytes(b"\x7fELF another")
    assert answer_cache.identity(str(script)) != before


def test_the_file_is_for_root_alone(qemu, directory):
    assert qemu_binary.probe(qemu("7.2.0")).help
    [kept] = directory.iterdir()
    assert stat.S_IMODE(os.stat(kept).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b"null", b'{"format": 1}', b"\xff\xfe", b'{"format": 99}']
)
def test_a_damaged_file_is_as_good_as_none(qemu, directory, damage):
    path = qemu("7.2.0")
    assert qemu_binary.probe(path).help
    [kept] = directory.iterdir()
    kept.write_bytes(damage)
    assert qemu_binary.probe(path).version[0] == "7.2.0"
    assert qemu.runs() == 2
    assert json.loads(kept.read_text())["answers"]


def test_a_file_of_somebody_else_is_not_believed(qemu, directory):
    path = qemu("7.2.0")
    assert qemu_binary.probe(path).help
    [kept] = directory.iterdir()
    os.chown(kept, 65534, 65534)
    assert qemu_binary.probe(path).help
    assert qemu.runs() == 2


def test_a_failed_answer_is_not_kept(qemu, directory):
    path = qemu("7.2.0", status=1)
    with pytest.raises(errors.HypervisorError, match="--help"):
        _ = qemu_binary.probe(path).help
    # this question counts even so, but is not worth keeping
    assert "7.2.0" in qemu_binary.probe(path).devices
    assert not directory.exists()


def test_a_replaced_run_command_is_neither_read_nor_kept(qemu, directory):
    path = qemu("7.2.0")
    assert qemu_binary.probe(path).version[0] == "7.2.0"
    before = {file: file.read_bytes() for file in directory.iterdir()}
    answer = mock.Mock(failed=False, output="emulator version 1.1.2")
    with mock.patch.object(utils, "RunCmd", return_value=answer):
        assert qemu_binary.probe(path).version[0] == "1.1.2"
    assert {file: file.read_bytes() for file in directory.iterdir()} == before


def test_a_directory_that_cannot_be_written_is_no_hindrance(qemu, directory):
    directory.write_text("a file in its place")
    path = qemu("7.2.0")
    assert [qemu_binary.probe(path).version[0] for _ in range(2)] == ["7.2.0"] * 2
    assert qemu.runs() == 2


def test_a_program_that_is_gone(tmp_path):
    assert answer_cache.identity(str(tmp_path / "gone")) is None


def test_many_processes_at_once_leave_a_whole_file(qemu, directory):
    path = qemu("7.2.0")
    children = []
    for _ in range(8):
        pid = os.fork()
        if not pid:
            facts = qemu_binary.probe(path)
            os._exit(0 if facts.help and facts.machines and facts.devices else 1)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 8
    [kept] = directory.iterdir()
    assert json.loads(Path(kept).read_text())["answers"]
