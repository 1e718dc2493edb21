"""``migration``: a real guest on its way from one QEMU to another, seen from both sides."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import contextmanager
from functools import partial

import pytest

from ganeti_hv_kvm import QmpConnection
from harness import golden, idle_guests, paths, troubled
from harness.terminal import terminal
from harness.the_command import COMMAND, advised, call, carry_out

pytestmark = [pytest.mark.qemu, pytest.mark.only_3_0]  # no Ganeti has a say in it
AMPLE = 60


@contextmanager
def on_its_way(run, *machine, **limits):
    """A guest that is being sent, the QEMU that waits for it, and where that one is."""
    target_run = run.parent / "target"
    address = f"unix:{run.parent}/migrate"
    waiting = (*troubled._RUNS, *machine, "-incoming", address)
    with (
        troubled.running(run, *machine) as source,
        idle_guests.running(target_run, 1, machine=waiting, prefix="running") as (target,),
    ):
        while not (run.parent / "migrate").exists():  # after its monitor
            time.sleep(0.05)
        with troubled.monitor(source) as qmp:
            parameters = {name.replace("_", "-"): value for name, value in limits.items()}
            qmp.execute_qmp("migrate-set-parameters", parameters)
            qmp.execute_qmp("migrate", {"uri": address})
        yield source, target, target_run


@pytest.fixture
def pair(run):
    """One that is sent at a crawl."""
    with on_its_way(run, max_bandwidth=4096) as made:
        yield made


def speed_up(source) -> None:
    with QmpConnection(source.qmp) as qmp:
        qmp.execute_qmp("migrate-set-parameters", {"max-bandwidth": 1 << 30})


def test_what_it_says_of_one_on_its_way(run, command, pair):
    """Called off, then carried to its end; what is advised is done."""
    source, target, target_run = pair
    there = partial(call, target_run)
    text = ""

    def say(called, name=source.name) -> str:
        nonlocal text
        done = called("migration", name, "--timeout", "1")
        text += golden.transcript(done, "migration", name) + "\n"
        return done.stdout

    limit = time.monotonic() + AMPLE
    while "Time left: " not in command("migration", source.name).stdout:  # a rate takes a second
        assert time.monotonic() < limit
    say(command)
    say(there)
    assert command("pause", source.name).returncode == 0
    say(command)
    with troubled.monitor(source):
        say(command)
    with troubled.monitor(target):
        say(there)
    with troubled.monitor(source) as qmp:
        qmp.execute_qmp("migrate_cancel")
        while qmp.execute_qmp("query-migrate")["status"] != "cancelled":
            assert time.monotonic() < limit + AMPLE
    say(command)
    golden.check("migration-on-its-way.txt", text, run)


def test_what_it_says_of_one_that_has_ended(run, command, pair):
    source, target, target_run = pair
    there = partial(call, target_run)
    speed_up(source)
    troubled.wait_for_state(source, "postmigrate")
    troubled.wait_for_state(target, "running")
    left, refused = (command(word, source.name) for word in ("migration", "cont"))
    (tells_more,) = advised(refused.stderr)
    assert carry_out(tells_more, run).stdout == left.stdout
    text = golden.transcript(left, "migration", source.name) + "\n"
    text += golden.transcript(refused, "cont", source.name) + "\n"
    for called, words in (
        (there, ("migration", target.name)),
        (there, ("cont", target.name)),
    ):
        text += golden.transcript(called(*words), *words) + "\n"
    source.process.kill()
    source.process.wait()
    text += golden.transcript(command("migration", source.name), "migration", source.name) + "\n"
    text += golden.transcript(command("migration", "runing0"), "migration", "runing0")
    golden.check("migration-ended.txt", text, run)


def test_what_it_says_of_one_that_failed(run, command, pair):
    source, target, _ = pair
    target.process.kill()
    troubled.wait_for_state(source, "running")
    limit = time.monotonic() + AMPLE
    while "active" in (done := command("migration", source.name)).stdout:
        assert time.monotonic() < limit
    golden.check("migration-failed.txt", golden.transcript(done, "migration", source.name), run)


def test_one_that_writes_as_fast_as_is_sent_ends_once_it_is_paused(run, command, monkeypatch):
    """Fault: every other look said that it had some seconds left.

    QEMU 10 and no older one: with TCG that one sees no page of it written a second time.
    """
    monkeypatch.setattr(paths, "QEMU", paths.QEMU_10)
    disk = troubled.writes_memory(run / "disk")
    with on_its_way(run, *disk, max_bandwidth=1 << 18, downtime_limit=100) as (source, *_):
        words = ("migration", source.name)
        limit = time.monotonic() + AMPLE
        while "no end at this rate" not in (done := command(*words)).stdout:
            assert time.monotonic() < limit
        text = golden.transcript(done, *words)
        for _ in range(6):
            time.sleep(0.5)
            done = command(*words)
            assert (done.returncode, golden.transcript(done, *words).count("no end")) == (1, 1)
        golden.check("migration-endless.txt", text, run)
        assert command("pause", source.name).returncode == 0
        troubled.wait_for_state(source, "postmigrate")
        assert command(*words).returncode == 0


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
    with troubled.monitor(source) as qmp:
        assert qmp.execute_qmp("query-status")["status"] == "postmigrate"


def test_no_migration_and_no_guest(run, command):
    with troubled.running(run) as guest:
        done = command("migration", guest.name)
        assert (done.returncode, done.stdout.splitlines()[1]) == (
            0,
            "Migration: none (source; guest running)",
        )
    done = command("migration", "nobody", "--json")
    assert (done.returncode, json.loads(done.stdout)["error"]["name"]) == (3, "nobody")
