"""Answers of a binary are kept while it is the same binary, and never in doubt."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
from pathlib import Path
from unittest import mock

import pytest
from ganeti import errors, utils

from ganeti_hv_kvm.hv_kvm.qemu import binary, binary_cache


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.setattr(binary_cache, "directory", lambda: str(tmp_path / "cache"))
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
    assert [binary.probe(path).version for _ in range(3)] == [("7.2.0", 7, 2, 0)] * 3
    assert qemu.runs() == 1


def test_a_new_binary_is_asked_again(qemu):
    path = qemu("7.2.0")
    assert binary.probe(path).version[0] == "7.2.0"
    qemu("10.0.2")
    assert binary.probe(path).version[0] == "10.0.2"


def test_a_script_stands_for_the_programs_that_it_names(tmp_path):
    program = tmp_path / "qemu-real"
    program.write_bytes(b"\x7fELF one")
    program.chmod(0o755)
    script = tmp_path / "wrapper"
    script.write_text(f'#!/bin/sh\nexec {program} "$@"\n')
    before = binary_cache.identity(str(script))
    program.write_bytes(b"\x7fELF another")
    assert binary_cache.identity(str(script)) != before


def test_the_file_is_for_root_alone(qemu, directory):
    assert binary.probe(qemu("7.2.0")).help
    [kept] = directory.iterdir()
    assert stat.S_IMODE(os.stat(kept).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b"null", b'{"format": 1}', b"\xff\xfe", b'{"format": 99}']
)
def test_a_damaged_file_is_as_good_as_none(qemu, directory, damage):
    path = qemu("7.2.0")
    assert binary.probe(path).help
    [kept] = directory.iterdir()
    kept.write_bytes(damage)
    assert binary.probe(path).version[0] == "7.2.0"
    assert qemu.runs() == 2
    assert json.loads(kept.read_text())["answers"]


def test_a_file_of_somebody_else_is_not_believed(qemu, directory):
    path = qemu("7.2.0")
    assert binary.probe(path).help
    [kept] = directory.iterdir()
    os.chown(kept, 65534, 65534)
    assert binary.probe(path).help
    assert qemu.runs() == 2


def test_a_failed_answer_is_not_kept(qemu, directory):
    path = qemu("7.2.0", status=1)
    with pytest.raises(errors.HypervisorError, match="--help"):
        _ = binary.probe(path).help
    # this question counts even so, but is not worth keeping
    assert "7.2.0" in binary.probe(path).devices
    assert not directory.exists()


def test_a_replaced_run_command_is_neither_read_nor_kept(qemu, directory):
    path = qemu("7.2.0")
    assert binary.probe(path).version[0] == "7.2.0"
    before = {file: file.read_bytes() for file in directory.iterdir()}
    answer = mock.Mock(failed=False, output="emulator version 1.1.2")
    with mock.patch.object(utils, "RunCmd", return_value=answer):
        assert binary.probe(path).version[0] == "1.1.2"
    assert {file: file.read_bytes() for file in directory.iterdir()} == before


def test_a_directory_that_cannot_be_written_is_no_hindrance(qemu, directory):
    directory.write_text("a file in its place")
    path = qemu("7.2.0")
    assert [binary.probe(path).version[0] for _ in range(2)] == ["7.2.0"] * 2
    assert qemu.runs() == 2


def test_a_program_that_is_gone(tmp_path):
    assert binary_cache.identity(str(tmp_path / "gone")) is None


def test_many_processes_at_once_leave_a_whole_file(qemu, directory):
    path = qemu("7.2.0")
    children = []
    for _ in range(8):
        pid = os.fork()
        if not pid:
            facts = binary.probe(path)
            os._exit(0 if facts.help and facts.machines and facts.devices else 1)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 8
    [kept] = directory.iterdir()
    assert json.loads(Path(kept).read_text())["answers"]


def test_what_a_killed_qemu_said_does_not_count(tmp_path, directory):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho 'name \"virtio-blk-pci\"'\nkill -9 $$\n")
    program.chmod(0o755)
    with pytest.raises(errors.HypervisorError, match="signal 9"):
        _ = binary.probe(str(program)).devices
    assert not directory.exists()


@pytest.mark.parametrize("question", ["help", "machines", "devices"])
def test_silence_is_no_answer(tmp_path, directory, question):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho\n")
    program.chmod(0o755)
    with pytest.raises(errors.HypervisorError, match="said nothing"):
        getattr(binary.probe(str(program)), question)
    assert not directory.exists()


def test_words_that_are_no_text(tmp_path):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nprintf 'emulator version \\377'\n")
    program.chmod(0o755)
    with pytest.raises(errors.HypervisorError, match="could not be run"):
        _ = binary.probe(str(program)).help


def test_where_nobody_is_told_how_qemu_ended_nothing_is_kept(qemu, directory):
    path = qemu("7.2.0")
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert [binary.probe(path).version[0] for _ in range(2)] == ["7.2.0"] * 2
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert qemu.runs() == 2
    assert not directory.exists()


def test_a_binary_that_changes_while_it_tells(tmp_path, directory):
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\necho emulator version 7.2.0\ntouch "$0"\n')
    program.chmod(0o755)
    assert binary.probe(str(program)).version[0] == "7.2.0"
    assert not directory.exists()


def test_a_binary_overwritten_in_place_with_its_old_time(tmp_path):
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF one")
    before = binary_cache.identity(str(program))
    times = os.stat(program)
    with program.open("r+b") as file:
        file.write(b"\x7fELF two")
    os.utime(program, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert binary_cache.identity(str(program)) != before


def _fifo(kept: Path) -> None:
    kept.unlink()
    os.mkfifo(kept, 0o600)


def _link(kept: Path) -> None:
    kept.rename(kept.with_suffix(".other"))
    kept.symlink_to(kept.with_suffix(".other"))


def _huge(kept: Path) -> None:
    with kept.open("ab") as file:
        file.truncate(1 << 30)


def _deep(kept: Path) -> None:
    kept.write_text("[" * 100_000)


def _emptied(kept: Path) -> None:
    content = json.loads(kept.read_text())
    content["answers"] = dict.fromkeys(content["answers"], "")
    kept.write_text(json.dumps(content))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "spoil",
    [lambda kept: kept.chmod(0o666), lambda kept: kept.chmod(0o660), _fifo, _link, _huge, _deep,
     _emptied],
)  # fmt: skip
def test_what_is_not_as_it_was_written_is_not_believed(qemu, directory, spoil):
    path = qemu("7.2.0")
    assert binary.probe(path).help
    [kept] = directory.iterdir()
    spoil(kept)
    assert binary.probe(path).version[0] == "7.2.0"
    assert qemu.runs() == 2


def test_a_full_disk_leaves_no_half_file(qemu, directory):
    directory.mkdir()
    path = qemu("7.2.0")
    with mock.patch.object(os, "fsync", side_effect=OSError(errno.ENOSPC, "full")):
        assert binary.probe(path).version[0] == "7.2.0"
    assert list(directory.iterdir()) == []
    assert binary.probe(path).version[0] == "7.2.0"
    assert qemu.runs() == 2
