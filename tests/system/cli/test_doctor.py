"""``ganeti-hv-kvm doctor``: a node with real QEMUs, in trouble, and what --fix makes of it."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from ganeti_hv_kvm import OpenTap
from ganeti_hv_kvm.cli import ganeti_child
from harness import golden, troubled
from harness.the_command import IS_INSTALLED, PYTHON

pytestmark = [pytest.mark.qemu, pytest.mark.only_3_0]
GONE = "gone0.example.com"


def elsewhere(run):
    for name in ("log/kvm", "data"):
        (run.parent / name).mkdir(parents=True, exist_ok=True)
    return ["--log-dir", str(run.parent / "log/kvm"), "--data-dir", str(run.parent / "data")]


def findings(done, *abouts):
    told = json.loads(done.stdout)["findings"]
    return [one for one in told if not abouts or one["about"] in abouts]


def make_old(run):
    for folder in ("pid", "ctrl"):
        for path in (run / folder).iterdir():
            os.utime(path, (time.time() - 600,) * 2)


_OF_THE_MACHINE = ("this node", "module", "settings", "tools", "status", "enable", "service")


def lines(text):
    """Without what a machine that tests has of its own."""
    return "".join(
        f"{line}\n"
        for line in text.splitlines()
        if not any(word in line for word in _OF_THE_MACHINE)
    )


def says(command, run, name):
    """What it says of a node in trouble, to a person."""
    done = command("doctor", *elsewhere(run))
    assert (done.returncode, done.stderr) == (1, "")
    golden.check(name, lines(done.stdout), run)


def test_a_well_node(run, command):
    with troubled.node(run, "running"):
        done = command("doctor", "--json", *elsewhere(run))
    wrong = [one for one in findings(done) if one["level"] not in ("well", "note")]
    assert {one["about"] for one in wrong} <= {"module"}
    assert {"room", "descriptors", "QEMU's cache"} <= {one["about"] for one in findings(done)}


def test_what_a_guest_left_is_removed_and_nothing_else(run, command):
    with troubled.running(run) as running, troubled.gone(run) as gone:
        make_old(run)
        told = command("doctor", *elsewhere(run))
        assert told.returncode == 1
        assert gone.pidfile.exists()
        done = command("doctor", "--fix", *elsewhere(run))
        golden.check("doctor-fix.txt", lines(done.stdout), run)
        assert not gone.pidfile.exists()
        assert not gone.qmp.exists()
        assert gone.runtime.exists()  # Ganeti's to remove
        assert running.pidfile.exists()
        assert running.is_listening()
        again = findings(command("doctor", "--json", *elsewhere(run)), "files")
        assert [one["level"] for one in again] == ["note"]
        done = command("why", GONE, *elsewhere(run))
        assert "no QEMU of it runs here" in done.stdout


def test_young_files_are_left(run, command):
    with troubled.gone(run) as gone:
        done = command("doctor", "--fix", "--json", *elsewhere(run))
        assert json.loads(done.stdout)["steps"] == []
        assert gone.pidfile.exists()


def test_what_cannot_be_told_is_left(run, command):
    """A pid file that cannot be opened, and nobody on the monitor."""
    with troubled.gone(run) as gone:
        gone.pidfile.unlink()
        os.symlink(gone.pidfile, gone.pidfile)
        make_old = (time.time() - 600,) * 2
        os.utime(gone.qmp, make_old)
        done = command("doctor", "--fix", "--json", *elsewhere(run))
        told = findings(done, "files")
        assert [one["level"] for one in told] == ["cannot tell"]
        assert json.loads(done.stdout)["steps"] == []
        assert gone.qmp.exists()
        assert command("why", GONE, *elsewhere(run)).returncode == 1


def test_a_tap_without_a_guest(run, command):
    name, fds, _ = OpenTap("gnt.com.77")
    try:
        done = command("doctor", "--json", *elsewhere(run))
        assert findings(done, "TAP") == []  # this process has it open
    finally:
        for fd in fds:
            os.close(fd)
    subprocess.run(["ip", "tuntap", "add", name, "mode", "tap"], check=True)
    says(command, run, "doctor-tap.txt")
    (told,) = findings(command("doctor", "--json", *elsewhere(run)), "TAP")
    subprocess.run(["bash", "-c", told["advice"][0]], check=True)
    assert findings(command("doctor", "--json", *elsewhere(run)), "TAP") == []


def test_two_qemus_of_one_instance(run, command):
    """The second one took the place of the first one's files."""
    with troubled.running(run) as first:
        for path in (first.pidfile, first.qmp):
            path.unlink()
        with troubled.running(run) as second:
            says(command, run, "doctor-two-qemus.txt")
            done = command("doctor", "--json", *elsewhere(run))
            (told,) = findings(done, "two QEMUs")
            assert f"process {first.process.pid} calls itself" in told["text"]
            assert f"process {second.process.pid} has the instance's files" in told["text"]
            listed = subprocess.run(
                ["bash", "-c", told["advice"][0]], capture_output=True, text=True, check=True
            ).stdout
            assert str(first.process.pid) in listed
            assert str(second.process.pid) in listed


def test_a_full_run_directory(run, command):
    place = run / "ctrl"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "small", run], check=True)
    try:
        for name in ("pid", "ctrl", "conf", "nic"):
            (run / name).mkdir()
        says(command, run, "doctor-full.txt")
        done = command("doctor", "--json", *elsewhere(run))
        (told,) = [one for one in findings(done, "room") if one["level"] == "trouble"]
        assert "KiB left" in told["text"]
        assert place.exists()
    finally:
        subprocess.run(["umount", run], check=True)


def test_a_daemon_and_its_settings(run, command, tmp_path):
    """A program of the node daemon's name that has our module, and settings of its own."""
    program = tmp_path / "ganeti-noded"
    program.write_text("from ganeti_hv_kvm import _native\nprint(flush=True)\ninput()\n")
    environment = {**os.environ, "GANETI_HV_KVM_REBOOT_TIMEOUT": "7"}
    with subprocess.Popen(
        [*PYTHON, str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as daemon:
        daemon.stdout.readline()
        done = command("doctor", "--json", *elsewhere(run))
        daemon.stdin.close()
    told = [one["text"] for one in findings(done, "module")]
    behind = f"ganeti-noded (process {daemon.pid}) still has ganeti-hv-kvm"
    # an installed package is enabled: then that is what a new one gets, too
    assert any(behind in one for one in told) is not IS_INSTALLED


def test_settings_are_those_of_the_daemon():
    code = Path(importlib.import_module("ganeti").__file__).parents[1]
    told = ganeti_child.settings(code, {"GANETI_HV_KVM_REBOOT_TIMEOUT": "7", "HOME": "/x"}, 100)
    by_name = {one["name"]: one for one in told["settings"]}
    assert by_name["reboot_timeout"] == {
        "name": "reboot_timeout",
        "value": 7.0,
        "unit": "s",
        "from": "GANETI_HV_KVM_REBOOT_TIMEOUT",
    }
    assert by_name["qmp_timeout"]["from"] == "default"
    told = ganeti_child.settings(code, {"GANETI_HV_KVM_REBOOT_TIMEOUT": "5s"}, 100)
    assert len(told["problems"]) == 1


def test_ganeti_that_hangs_is_one_thing_that_cannot_be_told(run, command, tmp_path):
    code = tmp_path / "code"
    (code / "ganeti").mkdir(parents=True)
    (code / "ganeti/__init__.py").write_text("import time; time.sleep(1000)")
    words = ("doctor", "--json", "--timeout", "2", "--ganeti", str(code))
    done = command(*words, *elsewhere(run))
    unknown = [one for one in findings(done) if one["level"] == "cannot tell"]
    assert [one["about"] for one in unknown] == ["module"]
    assert "gave no answer within" in unknown[0]["text"]
