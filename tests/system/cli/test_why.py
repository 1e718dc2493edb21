"""``ganeti-hv-kvm why``: real QEMUs in each kind of trouble, and its advice carried out."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from ganeti_hv_kvm import QmpConnection
from harness import golden, troubled
from harness.the_command import carry_out

pytestmark = [pytest.mark.qemu, pytest.mark.only_3_0]
AMPLE = 60
DOMAIN = "0.example.com"
_HOLDER = (
    "import sys, time; from ganeti_hv_kvm import QmpConnection\n"
    "with QmpConnection(sys.argv[1], 60): print('holds', flush=True); time.sleep(1000)"
)


def elsewhere(run):
    """No log and no data of this machine's."""
    return ["--log-dir", str(run.parent / "log"), "--data-dir", str(run.parent / "data")]


def findings(command, run, kind):
    done = command("why", kind + DOMAIN, "--json", *elsewhere(run))
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)["findings"]


def wrong(command, run, kind):
    return [one for one in findings(command, run, kind)[1] if one["level"] == "trouble"]


@pytest.mark.parametrize("kind", [*troubled.KINDS, *troubled.ALONE])
def test_what_it_says(run, command, kind):
    make = {**troubled.KINDS, **troubled.ALONE}[kind]
    if kind == "held":
        with held(run):
            done = command("why", kind + DOMAIN, "--timeout", "8", *elsewhere(run))
    else:
        with make(run):
            done = command("why", kind + DOMAIN, "--timeout", "8", *elsewhere(run))
    # what threads do at a moment is another thing each time
    said, _, threads = done.stdout.partition("\nthreads:\n")
    golden.check(f"why-{kind}.txt", said, run)
    if kind in ("stopped", "frozen", "dying"):
        word = {"stopped": "is stopped by a signal", "frozen": "waits", "dying": "has ended"}[kind]
        assert word in threads
    is_well = kind in ("running", "paused", "prelaunch", "suspended")
    assert (done.returncode, done.stderr) == (0 if is_well else 1, "")


@contextmanager
def held(run):
    """A guest whose monitor another process holds: that one, which may be ended."""
    try:
        with troubled.running(run):
            for folder, suffix in (("ctrl", ".qmp"), ("pid", ""), ("conf", ".runtime")):
                name = run / folder / f"running{DOMAIN}{suffix}"
                name.rename(run / folder / f"held{DOMAIN}{suffix}")
            path = str(run / "ctrl" / f"held{DOMAIN}.qmp")
            command = [sys.executable, "-c", _HOLDER, path]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
                try:
                    assert holder.stdout.readline() == "holds\n"
                    yield holder
                finally:
                    holder.kill()
    finally:
        for folder in ("ctrl", "pid", "conf"):
            for path in (run / folder).glob("held*"):
                path.unlink()


def test_a_stopped_one_is_continued(run, command):
    with troubled.stopped(run):
        (process, monitor) = wrong(command, run, "stopped")
        assert monitor["about"] == "monitor"
        carry_out(process["advice"][0], run)
        assert wrong(command, run, "stopped") == []


def test_a_frozen_one_is_thawed(run, command):
    with troubled.frozen(run):
        process = wrong(command, run, "frozen")[0]
        carry_out(process["advice"][0], run)
        assert wrong(command, run, "frozen") == []


def test_whoever_holds_the_monitor_is_ended(run, command):
    with held(run) as holder:
        (monitor,) = wrong(command, run, "held")
        listed, kill = monitor["advice"]
        assert "ganeti_hv_kvm" in carry_out(listed, run).stdout
        assert kill == f"kill {holder.pid}"
        carry_out(kill, run)
        holder.wait()
        assert wrong(command, run, "held") == []


@pytest.mark.parametrize("kind", ["paused", "prelaunch", "suspended"])
def test_one_that_does_not_run_goes_on(run, command, kind):
    with troubled.KINDS[kind](run):
        guest = next(one for one in findings(command, run, kind)[1] if one["about"] == "guest")
        assert guest["level"] == "note"
        carry_out(guest["advice"][0], run)
        after = next(one for one in findings(command, run, kind)[1] if one["about"] == "guest")
        assert (after["level"], after["text"]) == ("well", "runs") or kind == "suspended"


def test_a_full_disk_is_emptied(run, command):
    with troubled.io_error(run):
        told = wrong(command, run, "io-error")
        disk = next(one for one in told if one["about"] == "disk")
        assert "no space left" in disk["text"]
        df, goes_on = disk["advice"]
        assert "100%" in carry_out(df, run).stdout
        (run / "small/rest").unlink()
        carry_out(goes_on, run)
        limit = time.monotonic() + AMPLE
        while wrong(command, run, "io-error"):
            assert time.monotonic() < limit
        code, told = findings(command, run, "io-error")
        assert code == 0
        (guest,) = [one for one in told if one["about"] == "guest"]
        assert guest["text"] == "runs"


def test_what_a_thread_waits_for_is_said_with_the_file(run, command):
    with troubled.hanging(run) as guest:
        thread = next(one for one in wrong(command, run, "hanging") if one["about"] == "thread")
        assert f" of {run}/disks/disk" in thread["text"]
        assert "pwrite" in thread["text"] or "fdatasync" in thread["text"]
        found = carry_out(thread["advice"][0], run).stdout
        assert str(run / "disks") in found
        subprocess.run(["fsfreeze", "-u", run / "disks"], check=True)
        limit = time.monotonic() + AMPLE
        while wrong(command, run, "hanging"):
            assert time.monotonic() < limit
        with QmpConnection(guest.qmp, AMPLE) as qmp:
            qmp.execute_qmp("stop")


def test_one_that_a_debugger_holds(run, command):
    with (
        troubled.running(run) as guest,
        subprocess.Popen(
            ["gdb", "-q", "-p", str(guest.process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as debugger,
    ):
        limit = time.monotonic() + AMPLE
        while not (told := wrong(command, run, "running")):
            assert time.monotonic() < limit
        assert f"is traced by process {debugger.pid} (gdb)" in told[0]["text"]
        carry_out(told[0]["advice"][1], run)
        debugger.stdin.close()
        debugger.wait()
        while wrong(command, run, "running"):
            assert time.monotonic() < limit


def test_a_guest_that_is_not_here(run, command):
    with troubled.running(run):
        done = command("why", "runing0.example.com", *elsewhere(run))
        assert (done.returncode, done.stdout) == (3, "")
        assert "did you mean 'running0.example.com'?" in done.stderr


def test_the_log_a_departure_and_a_pause_are_told(run, command):
    name = "paused" + DOMAIN
    (run.parent / "log").mkdir()
    (run.parent / "log" / f"{name}.log").write_text("one\nqemu: password=geheim \x1b[2J\n")
    departed = run.parent / "data/kvm-departed"
    departed.mkdir(parents=True)
    (departed / name).write_text('{"target": "192.0.2.7", "left": false}')
    with troubled.paused(run):
        (run / "ctrl" / f"{name}.migration").write_text("{}")
        done = command("why", name, *elsewhere(run))
        (run / "ctrl" / f"{name}.migration").unlink()
    golden.check("why-paused-migration.txt", done.stdout, run)
    assert "geheim" not in done.stdout
    (departed / name).write_text('{"target": "192.0.2.7", "left": true}')
    with troubled.gone(run):
        (departed / name).rename(departed / f"gone{DOMAIN}")
        told = wrong(command, run, "gone")
    assert "left this node for 192.0.2.7" in told[-1]["text"]
