"""``ganeti-hv-kvm dump``: a QEMU that says odd things of it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from ganeti_hv_kvm import cli
from ganeti_hv_kvm.cli.frame import exit_status
from unit.hv_kvm.scripted_qemu import ScriptedQemu

NAME = "web1.example.com"
IDLE = {"status": "none", "completed": 0, "total": 0}


@pytest.fixture
def qemu():
    """A QEMU that would write a dump; its run directory is ``run``."""
    with tempfile.TemporaryDirectory(prefix="gnt-") as folder:
        (Path(folder) / "ctrl").mkdir()
        made = ScriptedQemu(f"{folder}/ctrl/{NAME}.qmp", [])
        made.run = folder
        made.run_state = "running"
        made.answers = {
            "query-dump-guest-memory-capability": {"formats": ["elf"]},
            "query-memory-size-summary": {"base-memory": 1 << 20},
            "query-dump": IDLE,
        }
        yield made
        made.close()


def dump(qemu, file, capsys):
    status = cli.main(["dump", NAME, str(file), "--run-dir", qemu.run])
    return status, capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "odd", "said"),
    [
        ("query-memory-size-summary", None, "QEMU tells what cannot be: base-memory"),
        ("query-memory-size-summary", {"base-memory": -1}, "QEMU tells what cannot be"),
        ("query-dump-guest-memory-capability", {"formats": 5}, "writes no elf, but nothing"),
        ("query-dump", [], "tells of its dump what cannot be"),
    ],
)
def test_an_odd_answer_before_it_is_no_fault_of_the_command(
    qemu, tmp_path, capsys, command, odd, said
):
    qemu.answers[command] = odd
    status, told = dump(qemu, tmp_path / "memory", capsys)
    assert (status, said in told, "please report it" in told) == (exit_status.FAILED, True, False)
    assert not (tmp_path / "memory").exists()
    assert "dump-guest-memory" not in qemu.names()


@pytest.mark.parametrize("status", ["none", "paused\n", "failed"])
def test_only_a_dump_that_failed_is_removed(qemu, tmp_path, capsys, status):
    """Fault: a QEMU that had another word for it, or was another one by then, cost the file."""

    def begin(_arguments):
        qemu.answers["query-dump"] = {"status": status, "completed": 0, "total": 0}
        return {}

    qemu.answers["dump-guest-memory"] = begin
    done, told = dump(qemu, tmp_path / "memory", capsys)
    assert done == exit_status.FAILED
    assert (tmp_path / "memory").exists() == (status != "failed")
    assert ("cannot be told" in told) == (status != "failed")


def test_where_it_cannot_be_told_whether_it_was_begun_the_file_is_named(qemu, tmp_path, capsys):
    """Fault: it was left without a word, and QEMU may be writing into it."""
    qemu.lose("dump-guest-memory")
    done, told = dump(qemu, tmp_path / "memory", capsys)
    assert done == exit_status.FAILED
    assert "whether dump-guest-memory was carried out cannot be told" in told
    assert told.rstrip().endswith(f"; {tmp_path}/memory is left as it is")
    assert (tmp_path / "memory").exists()


def test_one_that_is_written_is_said_to_be(qemu, tmp_path, capsys):
    """Fault: the error was only that of a look at the guest afterwards, and the dump was made."""

    def begin(_arguments):
        qemu.answers["query-dump"] = {"status": "completed", "completed": 5, "total": 5}
        qemu.lose("query-status", 9)
        return {}

    qemu.answers["dump-guest-memory"] = begin
    done, told = dump(qemu, tmp_path / "memory", capsys)
    assert done == exit_status.FAILED
    assert f"{tmp_path}/memory is written, and what {NAME} does now cannot be told: " in told
    assert (tmp_path / "memory").exists()
