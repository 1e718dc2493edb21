"""``ganeti-hv-kvm events`` with real QEMUs: what is heard, and what is said of who cannot be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganeti_hv_kvm import QmpConnection
from harness import golden, paths
from harness.the_command import COMMAND

pytestmark = [pytest.mark.qemu, pytest.mark.only_3_0]  # no Ganeti has a say in it
AMPLE = 30


class Guests:
    """QEMUs without a machine, each with the two monitors that Ganeti gives it."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        (run / "ctrl").mkdir()

    def start(self, name: str) -> None:
        argv = [str(paths.QEMU), "-machine", "none", "-display", "none", "-daemonize"]
        for kind in ("qmp", "kvmd"):
            argv += ["-qmp", f"unix:{self.run}/ctrl/{name}.{kind},server=on,wait=off"]
        pidfile = self.run / f"{name}.pid"
        # It returns when the monitors listen.
        subprocess.run([*argv, "-pidfile", str(pidfile)], check=True, timeout=AMPLE)

    def pid(self, name: str) -> int:
        return int((self.run / f"{name}.pid").read_text())

    def monitor(self, name: str, kind: str = "qmp") -> QmpConnection:
        return QmpConnection(self.run / f"ctrl/{name}.{kind}", AMPLE)

    def command(self, *arguments: str) -> list[str]:
        return [*COMMAND, "events", "--run-dir", str(self.run), *arguments]

    def listen(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), capture_output=True, text=True, timeout=AMPLE, check=False
        )


@pytest.fixture
def guests(tmp_path: Path) -> Iterator[Guests]:
    made = Guests(tmp_path)
    made.start("one")
    made.start("two")
    yield made
    for name in ("one", "two"):
        os.kill(made.pid(name), signal.SIGKILL)


def test_events_of_two_guests(guests):
    with subprocess.Popen(
        guests.command("--json", "--event", "s*", "--count", "2"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as listener:
        lines = []
        _wait_until_it_listens(listener)
        for name in ("one", "two"):
            with guests.monitor(name) as monitor:
                monitor.execute_qmp("stop")
                monitor.execute_qmp("cont")
            lines.append(json.loads(listener.stdout.readline()))
        assert listener.wait(AMPLE) == 0
    assert [(line["name"], line["event"]) for line in lines] == [("one", "STOP"), ("two", "STOP")]
    assert all(line["time"].endswith("+00:00") for line in lines)


def _wait_until_it_listens(listener: subprocess.Popen[str]) -> None:
    assert "listening to" in listener.stderr.readline()


def test_what_it_says_of_what_happens(guests):
    """One is paused and goes on, the other ends, and who is left is heard."""
    words = ("events", "--count", "4")
    with subprocess.Popen(
        guests.command(*words[1:]), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as listener:
        complaints = [listener.stderr.readline()]
        told = []
        for name, command in (("one", "stop"), ("one", "cont"), ("two", "quit"), ("one", "stop")):
            with guests.monitor(name) as monitor:
                monitor.execute_qmp(command)
            told.append(listener.stdout.readline())
            if command == "quit":
                complaints.append(listener.stderr.readline())
        out, err = listener.communicate(timeout=AMPLE)
    guests.start("two")
    done = subprocess.CompletedProcess(
        words, listener.returncode, "".join(told) + out, "".join(complaints) + err
    )
    golden.check("events.txt", golden.transcript(done, *words), guests.run)


def test_what_it_says_of_who_cannot_be_heard(guests):
    said = ""
    for words in (("one", "twoo"), ("none",), ("--event", "STOP")):
        with guests.monitor("one", "kvmd"):
            done = guests.listen(*words, "--timeout", "0.5")
        said += golden.transcript(done, "events", *words, "--timeout", "0.5") + "\n"
    for name in ("one", "two"):
        (guests.run / f"ctrl/{name}.kvmd").unlink()
    said += golden.transcript(guests.listen(), "events") + "\n"
    (guests.run / "ctrl").rename(guests.run / "elsewhere")
    said += golden.transcript(guests.listen(), "events")
    (guests.run / "elsewhere").rename(guests.run / "ctrl")
    golden.check("events-unheard.txt", said, guests.run)


def test_who_holds_a_second_monitor_is_said(guests):
    with guests.monitor("one", "kvmd"):
        done = guests.listen("--timeout", "0.5")
    assert done.returncode == 1
    assert "one: " in done.stderr
    assert f"another client holds this monitor: process {os.getpid()} (" in done.stderr
    assert "two" not in done.stderr


def test_programs_are_told_who_cannot_be_heard(guests):
    with guests.monitor("one", "kvmd"):
        done = guests.listen("--json", "one", "twoo", "--timeout", "0.5")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["name"] for line in told] == ["twoo", "one"]
    assert "did you mean 'two'?" in told[0]["error"]["text"]
    assert "another client holds" in told[1]["error"]["text"]
    assert (done.returncode, done.stderr) == (3, "")


def test_who_is_not_there_is_said(guests):
    done = guests.listen("none", "--timeout", "1")
    assert (done.returncode, done.stdout) == (3, "")
    assert "its user_shutdown is off" in done.stderr
    empty = guests.run / "elsewhere"
    done = subprocess.run(
        [*guests.command(), "--run-dir", str(empty)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "cannot be read: No such file" in done.stderr


def test_a_guest_that_ends_is_said_and_ends_the_stream(guests):
    with subprocess.Popen(
        guests.command("two"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as listener:
        _wait_until_it_listens(listener)
        with guests.monitor("two") as monitor:
            monitor.execute_qmp("quit")
        out, err = listener.communicate(timeout=AMPLE)
    guests.start("two")
    assert (listener.returncode, "SHUTDOWN" in out) == (1, True)
    assert "two: the connection to" in err


def test_a_closed_pipe_is_no_error(guests):
    with subprocess.Popen(
        guests.command("one"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as listener:
        _wait_until_it_listens(listener)
        listener.stdout.close()
        with guests.monitor("one") as monitor:
            monitor.execute_qmp("stop")
        assert listener.wait(AMPLE) == 0
        assert listener.stderr.read() == ""


@pytest.mark.parametrize("wrong", [("--count", "0"), ("--timeout", "nan"), ("--timeout", "-1")])
def test_wrong_usage(guests, wrong):
    assert guests.listen(*wrong).returncode == 2
