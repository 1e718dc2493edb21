"""``pause``, ``cont``, ``dump``, ``migration``: one real guest, told and asked."""

from __future__ import annotations

import json
import os
import subprocess
import time

import pytest

from ganeti_hv_kvm import QmpConnection
from harness import idle_guests, troubled
from harness.terminal import terminal
from harness.the_command import COMMAND

pytestmark = [pytest.mark.qemu, pytest.mark.only_3_0]  # no Ganeti has a say in it


def state(guest) -> str:
    with troubled.monitor(guest) as qmp:
        return qmp.execute_qmp("query-status")["status"]


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
        # this guest is no Windows: QEMU refuses, or does not know it
        done = command("dump", guest.name, str(tmp_path / "other"), "--format", "win-dmp")
        assert (done.returncode, state(guest)) == (3, "running")
        assert not (tmp_path / "other").exists()


def test_a_dump_without_room_is_not_begun(run, command, tmp_path):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "small", tmp_path], check=True)
    try:
        with troubled.running(run) as guest:
            done = command("dump", guest.name, str(tmp_path / "memory"))
            assert (done.returncode, state(guest)) == (3, "running")
            assert "may be needed: nothing was done" in done.stderr
            # compressed, nobody can tell beforehand: it fails, and leaves nothing
            words = ("dump", guest.name, str(tmp_path / "memory"), "--format", "kdump-zlib")
            with (tmp_path / "rest").open("wb") as rest:
                rest.write(bytes(1 << 20))
            done = command(*words)
            assert (done.returncode, state(guest)) == (3, "running")
            assert [one.name for one in tmp_path.iterdir()] == ["rest"]
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.fixture
def pair(run, tmp_path):
    """A guest that is being sent at a crawl, and the QEMU that waits for it."""
    target_run = run.parent / "target"
    address = f"unix:{run.parent}/migrate"
    waiting = (*troubled._RUNS, "-incoming", address)
    with (
        troubled.running(run) as source,
        idle_guests.running(target_run, 1, machine=waiting, prefix="running") as (target,),
    ):
        while not (run.parent / "migrate").exists():  # after its monitor
            time.sleep(0.05)
        with troubled.monitor(source) as qmp:
            qmp.execute_qmp("migrate-set-parameters", {"max-bandwidth": 4096})
            qmp.execute_qmp("migrate", {"uri": address})
        yield source, target, target_run


def speed_up(source) -> None:
    with QmpConnection(source.qmp) as qmp:
        qmp.execute_qmp("migrate-set-parameters", {"max-bandwidth": 1 << 30})


def test_a_migration_seen_from_both_sides(run, command, pair):
    source, target, target_run = pair
    told = json.loads(command("migration", source.name, "--json").stdout)
    assert (told["side"], told["status"], told["run_state"]) == ("source", "active", "running")
    assert told["here"]["success"]["decision"] == "REFUSE"
    assert told["here"]["abort"]["decision"] == "PAUSE"
    assert 0 < told["remaining"] <= told["total"]
    text = command("migration", source.name).stdout
    assert "Migration: active (source; guest running)" in text
    assert "if Ganeti calls it off: pause the guest" in text
    other = [*COMMAND, "migration", target.name, "--run-dir", str(target_run), "--json"]
    done = subprocess.run(other, capture_output=True, text=True, check=False)
    told = json.loads(done.stdout)
    assert (told["side"], told["run_state"]) == ("target", "inmigrate")
    assert told["here"]["abort"]["decision"] == "END"
    refused = command("cont", source.name)
    assert refused.returncode == 0  # it runs
    done = subprocess.run(
        [*COMMAND, "cont", target.name, "--run-dir", str(target_run)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "would run twice" in done.stderr) == (3, True)


def test_a_migration_watched_to_its_end(run, command, pair):
    source, _target, _ = pair
    with terminal() as screen:
        words = ["migration", source.name, "--watch", "--interval", "0.2", "--run-dir", str(run)]
        screen.run([*COMMAND, *words])
        screen.wait_for(lambda text: "active" in text and "Progress:" in text)
        speed_up(source)
        text = screen.wait_for(lambda text: text.rstrip().endswith("ready>"))
    assert "Migration: completed (source; guest postmigrate)" in text
    assert "end the stale QEMU, then clean up (END)" in text
    done = command("cont", source.name)
    assert (done.returncode, "would run twice" in done.stderr) == (3, True)
    assert state(source) == "postmigrate"


def test_no_migration_and_no_guest(run, command):
    with troubled.running(run) as guest:
        done = command("migration", guest.name)
        assert (done.returncode, done.stdout.splitlines()[1]) == (
            0,
            "Migration: none (source; guest running)",
        )
    done = command("migration", "nobody", "--json")
    assert (done.returncode, json.loads(done.stdout)["error"]["name"]) == (3, "nobody")
