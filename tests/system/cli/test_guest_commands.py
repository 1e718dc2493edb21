"""``pause``, ``cont``, ``dump``, ``forget-departure``: one real guest, told and asked."""

from __future__ import annotations

import json
import os
import subprocess
from functools import partial
from pathlib import Path

import ganeti
import pytest
from ganeti import pathutils

from harness import golden, idle_guests, troubled
from harness.the_command import advised, carry_out

pytestmark = [pytest.mark.qemu, pytest.mark.only_3_0]  # no Ganeti has a say in it


def state(guest) -> str:
    with troubled.monitor(guest) as qmp:
        return qmp.execute_qmp("query-status")["status"]


def said(command, *words, also=()) -> str:
    return golden.transcript(command(*words, *also), *words) + "\n"


def test_what_pause_and_cont_say(run, command, tmp_path):
    say = partial(said, command, also=("--data-dir", str(tmp_path)))
    with troubled.running(run) as guest:
        text = said(command, "pause", "running0")
        (goes_on,) = advised(text)
        assert state(guest) == "paused"
        text += said(command, "pause", "running0")
        carry_out(goes_on, run, "--data-dir", str(tmp_path))
        assert state(guest) == "running"
        text += say("cont", "running0")
    for kind in ("paused", "prelaunch", "suspended"):
        with troubled.KINDS[kind](run):
            text += say("cont", f"{kind}0")
    with troubled.io_error(run) as guest:
        (run / "small/rest").unlink()
        text += say("cont", "io-error0")
        assert state(guest) == "running"
    golden.check("pause-cont.txt", text, run)


def test_what_cont_says_of_one_that_cannot_go_on(run, command):
    text = ""
    for kind, what in (("shut-down", "shutdown"), ("panicked", "guest-panicked")):
        with troubled.ALONE[kind](run) as guest:
            text += said(command, "cont", guest.name)
            assert state(guest) == what
    golden.check("cont-never.txt", text, run)


def test_what_is_said_of_one_that_does_not_answer(run, command):
    text = ""
    for kind in ("held", "gone"):
        with troubled.KINDS[kind](run):
            for words in (("pause",), ("cont",), ("dump", "/nowhere/x")):
                called = (words[0], f"{kind}0", *words[1:], "--timeout", "0.5")
                text += said(command, *called)
    with troubled.stopped(run):
        for word in ("pause", "cont"):
            text += said(command, word, "stopped0", "--timeout", "0.5")
    text += said(command, "pause", "gone0")
    golden.check("no-answer.txt", text, run)


@pytest.mark.parametrize("kind", ["stopped", "frozen"])
def test_why_it_stands_still_is_said_to_each_who_waits(run, command, kind):
    """Fault: who came third, and cannot even connect, was told that there is no answer."""
    why = {
        "stopped": "its process is stopped by a signal",
        "frozen": "the freezer of its cgroup holds its process",
    }[kind]
    with troubled.KINDS[kind](run):
        *_, last = (command("pause", f"{kind}0", "--timeout", "0.5").stderr for _ in range(3))
    assert last.endswith(f"; {why}; nothing was done\n"), last


@pytest.fixture
def departed():
    """The record that the guest left this node, where Ganeti has it."""
    record = Path(pathutils.DATA_DIR) / "kvm-departed" / "paused0.example.com"
    record.parent.mkdir()
    record.write_text("{}", encoding="utf-8")
    yield record
    record.unlink(missing_ok=True)
    record.parent.rmdir()


def test_one_that_left_goes_on_once_that_is_forgotten(run, command, departed):
    data, code = departed.parents[1], str(Path(ganeti.__file__).parents[1])
    with troubled.paused(run) as guest:
        text = said(command, "cont", guest.name, also=("--data-dir", str(data)))
        (forget,) = advised(text)
        for _ in range(2):
            done = carry_out(forget, None, "--ganeti", code)
            text += golden.transcript(done, *forget.split()[1:]) + "\n"
        assert state(guest) == "paused"
        text += said(command, "cont", guest.name, also=("--data-dir", str(data)))
        assert state(guest) == "running"
    done = carry_out("ganeti-hv-kvm forget-departure a/b", None, "--ganeti", code, status=3)
    text += golden.transcript(done, "forget-departure", "a/b")
    golden.check("forget-departure.txt", text.replace(str(data), "DATA"), run)


def test_pause_and_cont(run, command, tmp_path):
    with troubled.running(run) as guest:
        done = command("pause", "running0")
        assert (done.returncode, done.stderr, state(guest)) == (0, "", "paused")
        assert "Ganeti goes on saying that it runs" in done.stdout
        again = command("pause", "running0")
        assert (again.returncode, "Nothing was done" in again.stdout) == (0, True)
        done = command("cont", "running0", "--data-dir", str(tmp_path), "--json")
        assert json.loads(done.stdout) == {
            "name": guest.name,
            "before": "paused",
            "state": "running",
        }
        done = command("cont", "running0", "--data-dir", str(tmp_path))
        assert (done.returncode, state(guest)) == (0, "running")


@pytest.mark.parametrize("kind", ["prelaunch", "suspended"])
def test_cont_of_what_was_not_paused(run, command, kind):
    with troubled.KINDS[kind](run) as guest:
        done = command("cont", guest.name)
        assert (done.returncode, done.stderr) == (0, "")
        assert state(guest) == "running"


def test_one_whose_disk_is_still_full_stops_again(run, command):
    with troubled.io_error(run) as guest:
        done = command("cont", guest.name)
        assert done.returncode in (0, 1)  # it may be seen before it stops again
        troubled.wait_for_state(guest, "io-error")


def test_one_that_left_this_node_does_not_go_on(run, command, tmp_path):
    with troubled.paused(run) as guest:
        records = tmp_path / "kvm-departed"
        records.mkdir()
        (records / guest.name).write_text("{}")
        done = command("cont", guest.name, "--data-dir", str(tmp_path))
        assert (done.returncode, state(guest)) == (3, "paused")
        assert "it would run twice" in done.stderr
        assert f"forget-departure {guest.name}" in done.stderr
        (records / guest.name).unlink()
        records.rmdir()
        records.write_text("no directory")
        done = command("cont", guest.name, "--data-dir", str(tmp_path))
        assert (done.returncode, state(guest)) == (3, "paused")
        assert "cannot be told" in done.stderr


def test_a_monitor_that_is_held(run, command):
    with troubled.held(run) as guest:
        done = command("pause", guest.name, "--timeout", "0.5", "--json")
    told = json.loads(done.stdout)["error"]
    assert (done.returncode, told["sent"]) == (3, False)
    assert f"another client holds this monitor: process {os.getpid()} (" in told["text"]
    assert told["text"].endswith("; nothing was done")


def test_dump(run, command, tmp_path):
    file = tmp_path / "memory"
    with troubled.running(run) as guest:
        done = command("dump", guest.name, str(file))
        assert (done.returncode, state(guest)) == (0, "running")
        assert "stands still while its memory is written" in done.stderr
        assert file.read_bytes()[:4] == b"\x7fELF"
        assert file.stat().st_size > idle_guests.MEMORY << 20
        assert file.stat().st_mode & 0o777 == 0o600
        again = command("dump", guest.name, str(file))
        assert (again.returncode, "File exists" in again.stderr) == (3, True)
        text = golden.transcript(done, "dump", guest.name, "MEMORY") + "\n"
        text += golden.transcript(again, "dump", guest.name, "MEMORY") + "\n"
        # this guest is no Windows: QEMU refuses, or does not know it
        done = command("dump", guest.name, str(tmp_path / "other"), "--format", "win-dmp")
        assert (done.returncode, state(guest)) == (3, "running")
        assert not (tmp_path / "other").exists()
    text += golden.transcript(done, "dump", guest.name, "OTHER", "--format", "win-dmp") + "\n"
    with troubled.paused(run) as guest:
        done = command("dump", guest.name, str(tmp_path / "other"))
        assert (done.returncode, state(guest)) == (0, "paused")
    text += golden.transcript(done, "dump", guest.name, "OTHER")
    text = text.replace(str(file), "MEMORY").replace(str(tmp_path / "other"), "OTHER")
    golden.check("dump.txt", text, run)


def test_a_dump_without_room_is_not_begun(run, command, tmp_path):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "small", tmp_path], check=True)
    try:
        with troubled.running(run) as guest:
            done = command("dump", guest.name, str(tmp_path / "memory"))
            assert (done.returncode, state(guest)) == (3, "running")
            assert "may be needed: nothing was done" in done.stderr
            text = golden.transcript(done, "dump", guest.name, "SMALL/memory") + "\n"
            # compressed, nobody can tell beforehand: it fails, and leaves nothing
            words = ("dump", guest.name, str(tmp_path / "memory"), "--format", "kdump-zlib")
            with (tmp_path / "rest").open("wb") as rest:
                rest.write(bytes(1 << 20))
            done = command(*words)
            assert (done.returncode, state(guest)) == (3, "running")
            assert [one.name for one in tmp_path.iterdir()] == ["rest"]
            text += golden.transcript(done, *words[:2], "SMALL/memory", *words[3:])
            golden.check("dump-no-room.txt", text.replace(str(tmp_path), "SMALL"), run)
    finally:
        subprocess.run(["umount", tmp_path], check=True)
