"""``ganeti-hv-kvm qmp`` with a real QEMU: one command, many, and a prompt in a terminal."""

from __future__ import annotations

import json
import os
import stat

import pytest

from harness import golden, troubled
from harness.terminal import terminal
from harness.the_command import COMMAND

pytestmark = [pytest.mark.qemu, pytest.mark.only_3_0]
NAME = "running0.example.com"


@pytest.fixture
def guest(run):
    with troubled.running(run) as made:
        yield made


def state(guest):
    with troubled.monitor(guest) as qmp:
        return qmp.execute_qmp("query-status")["status"]


def test_one_command(guest, command):
    done = command("qmp", NAME, "query-status")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["status"] == "running"
    done = command("qmp", NAME, "qom-get", "path=/machine", "property=type", "--json")
    assert json.loads(done.stdout)["return"].startswith("pc-i440fx-")
    done = command("qmp", NAME, "qom-list", '{"path": "/machine/peripheral"}')
    assert {"name": "type", "type": "string"} in json.loads(done.stdout)


#: Each answer that a person may get: told, refused by us, refused by QEMU, with words for programs.
CALLS = (
    ("query-status",),
    ("qom-get", "path=/machine", "property=type"),
    ("query-statu",),
    ("stop",),
    ("stop", "--write"),
    ("device_dell", "id=x", "--write"),
    ("balloon", "--write"),
    ("device_del", "id=none", "--write"),
    ("device_del", "id=none", "--write", "--json"),
    ("object-add", "qom-type=secret", "id=sec0", "data=geheim", "--write"),
    ("qom-get", "path=/objects/sec0", "property=data"),
    ("--hmp", "info", "status"),
    ("--hmp", "cont"),
)


def test_what_it_says(guest, command, run):
    said = ""
    for words in CALLS:
        called = ("qmp", NAME, *words)
        said += golden.transcript(command(*called), *called) + "\n"
    golden.check("qmp.txt", said, run)


def test_what_changes_something_needs_write(guest, command):
    done = command("qmp", NAME, "stop")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'stop' may change the guest or its QEMU, and was not sent" in done.stderr
    assert state(guest) == "running"
    for words in (("qmp", NAME, "stop", "--write"), ("qmp", "--write", NAME, "cont"),
                  ("qmp", NAME, "--write", "--hmp", "stop")):  # fmt: skip
        assert command(*words).returncode == 0
    assert state(guest) == "paused"
    done = command("qmp", NAME, "human-monitor-command", "command-line=cont")
    assert (done.returncode, state(guest)) == (2, "paused")


def test_arguments_are_checked_before_anything_is_sent(guest, command):
    done = command("qmp", NAME, "device_dell", "id=x", "--write")
    assert done.returncode == 2
    assert "did you mean 'device_del'?; nothing was sent" in done.stderr
    done = command("qmp", NAME, "balloon", "value=much", "--write", "--json")
    error = json.loads(done.stdout)["error"]
    assert (error["command"], error["status"]) == ("balloon", 2)


def test_what_qemu_refuses_is_told(guest, command):
    done = command("qmp", NAME, "device_del", "id=none", "--write", "--json")
    assert done.returncode == 3
    error = json.loads(done.stdout)["error"]
    assert (error["class"], error["sent"]) == ("DeviceNotFound", True)


def test_the_human_monitor(guest, command):
    done = command("qmp", NAME, "--hmp", "info", "status")
    assert (done.returncode, done.stdout.strip()) == (0, "VM status: running")
    done = command("qmp", NAME, "--hmp", "stop")
    assert (done.returncode, state(guest)) == (2, "running")


def test_secrets_are_masked(guest, command):
    words = ("qom-type=secret", "id=sec0", "data=geheim")
    assert command("qmp", NAME, "object-add", *words, "--write").returncode == 0
    done = command("qmp", NAME, "qom-get", "path=/objects/sec0", "property=data")
    assert json.loads(done.stdout) == "***"
    done = command("qmp", NAME, "object-add", *words, "--write")
    assert done.returncode == 3
    assert "geheim" not in done.stdout + done.stderr


def test_many_commands_from_a_file(guest, command):
    lines = "query-status\n# a comment\n\nnothing\nqom-get path=/machine property=type\n"
    done = command("qmp", NAME, input=lines)
    first, _, rest = done.stdout.partition("}\n")
    assert json.loads(first + "}")["status"] == "running"
    assert "pc-i440fx" in rest
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    done = command("qmp", NAME, "--hmp", input="info status\nstop\nexit\ninfo status\n")
    assert done.stdout.count("VM status: running") == 1


def test_the_monitor_is_free_between_commands(guest, command, run):
    """Another client gets its turn while the prompt waits."""
    with terminal() as screen:
        screen.run([*COMMAND, "qmp", NAME, "--run-dir", str(run)])
        screen.wait_for(lambda text: text.rstrip().endswith(f"{NAME}>"))
        assert state(guest) == "running"
        screen.press("C-d")
        screen.wait_for(lambda text: text.rstrip().endswith("ready>"))


def test_who_holds_the_monitor_is_said_and_nothing_waits_for_ever(guest, command):
    with troubled.monitor(guest):
        done = command("qmp", NAME, "query-status", "--timeout", "0.5")
    assert done.returncode == 3
    assert f"another client holds this monitor: process {os.getpid()}" in done.stderr
    assert f"ganeti-hv-kvm why {NAME}" in done.stderr


def test_a_prompt_completes_and_remembers(guest, run, tmp_path):
    argv = ["env", f"HOME={tmp_path}", *COMMAND, "qmp", NAME]
    argv += ["--run-dir", str(run), "--write"]
    with terminal() as screen:
        screen.run(argv)
        screen.wait_for(lambda text: text.rstrip().endswith(f"{NAME}>"))
        screen.press("query-statu")
        screen.press("Tab")
        screen.wait_for(lambda text: f"{NAME}> query-status" in text)
        screen.press("Enter")
        screen.wait_for(lambda text: '"status": "running"' in text)
        screen.press("set_password protocol=vnc password=geheim")
        screen.press("Enter")
        screen.wait_for(lambda text: "refused" in text)
        screen.press("C-d")
        screen.wait_for(lambda text: text.rstrip().endswith("ready>"))
        history = tmp_path / ".ganeti-hv-kvm_history"
        assert history.read_text() == "query-status\n"
        assert stat.S_IMODE(history.stat().st_mode) == 0o600
        screen.run(argv)
        screen.wait_for(lambda text: text.rstrip().endswith(f"{NAME}>"))
        screen.press("Up")
        screen.wait_for(lambda text: text.rstrip().endswith(f"{NAME}> query-status"))
