"""Two QEMUs, room, tools, settings, QEMU's cache."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from ganeti_hv_kvm.cli.doctor import cache, repair, room, settings, twins
from ganeti_hv_kvm.cli.frame.finding import Level
from ganeti_hv_kvm.cli.node import process
from ganeti_hv_kvm.hv_kvm.qemu import binary_cache
from ganeti_hv_kvm.migration_decision import NodeState

NAME = "web1.example.com"


def texts(found):
    return [one.finding.text for one in found]


@pytest.fixture
def twin(tmp_path):
    """A process that calls itself a QEMU of the instance."""
    words = ["-c", "input()", "-name", NAME, "-pidfile", f"{tmp_path}/pid/{NAME}"]
    with subprocess.Popen([sys.executable, *words], stdin=subprocess.PIPE) as started:
        while process.command_line(started.pid)[-1:] != words[-1:]:
            pass
        yield started.pid
        started.stdin.close()


def test_two_qemus(tmp_path, twin):
    assert texts(twins.on_this_node(tmp_path, {NAME: twin}, set())) == []
    assert texts(twins.on_this_node(tmp_path, {}, {NAME})) == []
    (told,) = twins.on_this_node(tmp_path, {NAME: 4711}, set())
    assert f"process {twin} calls itself {NAME}, and process 4711 has" in told.finding.text
    assert told.steps == ()
    for pids in ({}, {NAME: None}):
        (told,) = texts(twins.on_this_node(tmp_path, pids, set()))
        assert "takes it to be down" in told


def test_what_the_table_of_migrations_says():
    states = {
        "moved": NodeState(status="completed", run_state="postmigrate"),
        "waits": NodeState(run_state="inmigrate"),
        "runs": NodeState(run_state="running"),
        "sends": NodeState(status="device", run_state="finish-migrate"),
        "cancelled": NodeState(status="cancelled", run_state="postmigrate"),
        "reset": NodeState(status="completed", run_state="prelaunch", outgoing=True),
        "came-paused": NodeState(status="completed", run_state="prelaunch"),
    }
    found = [one.finding for one in twins.on_two_nodes(states)]
    assert [(one.text.partition(" ")[0], one.level) for one in found] == [
        ("moved", Level.TROUBLE),
        ("waits", Level.NOTE),
        ("sends", Level.NOTE),
        ("cancelled", Level.TROUBLE),
        ("reset", Level.TROUBLE),
    ]
    assert "migrated away, and reset. If" in found[-1].text
    assert found[0].advice == ("gnt-instance migrate --cleanup moved",)
    for one, ends in zip(
        found,
        (
            ("END", "MOVED"),
            ("WAIT", "END"),
            ("REFUSE", "WAIT"),
            ("REFUSE", "DOUBTFUL"),
            ("END", "MOVED"),
        ),
        strict=True,
    ):
        settled = one.text.partition(". ")[2]
        assert [part[1:-1] for part in re.findall(r"\([A-Z_]+\)", settled)] == list(ends)


def test_departures(tmp_path):
    for name in ("here", "gone"):
        (tmp_path / name).touch()
    assert texts(twins.departed(tmp_path / "none", set())) == []
    (told,) = texts(twins.departed(tmp_path, {"here"}))
    assert told.startswith("gone left this node")


def test_room(tmp_path):
    assert [one.finding.level for one in room.directories([tmp_path])] == [Level.WELL]
    assert list(room.directories([tmp_path / "none"])) == []


def seen(**changes):
    made = process.Process(7, "qemu", "S", 1.0, 0, 1, 10, 1024, ())
    return made._replace(**changes)


def test_descriptors():
    assert [one.finding.level for one in room.descriptors([seen()])] == [Level.WELL]
    (told,) = room.descriptors([seen(descriptors=1000)])
    assert told.finding.advice[1] == "prlimit --pid 7 --nofile=2048:"


def test_tools(tmp_path):
    gone = str(tmp_path / "qemu")
    found = [one.finding for one in room.tools([gone, sys.executable], wants_tun=False)]
    assert [gone in one.text for one in found if one.level is Level.TROUBLE] == [True]


def test_settings():
    rows = [
        {"name": "qmp_timeout", "value": 5.0, "unit": "s", "from": "default"},
        {"name": "reboot_timeout", "value": 9.0, "unit": "s", "from": "GANETI_HV_KVM_X"},
    ]
    found = list(settings.diagnoses({"settings": rows, "problems": ["x is odd"]}, "process 7"))
    assert [one.finding.level for one in found] == [Level.NOTE, Level.TROUBLE]
    assert found[0].finding.text == "reboot_timeout is 9.0 s (process 7), by GANETI_HV_KVM_X"
    (told,) = settings.diagnoses({"settings": rows[:1], "problems": []}, "process 7")
    assert told.finding.level is Level.WELL


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """QEMU's cache as the hypervisor writes it: a script stands for the binary."""
    monkeypatch.setattr(binary_cache, "directory", lambda: str(tmp_path / "ganeti-hv-kvm"))
    program = tmp_path / "kvm"
    program.write_text("#!/bin/sh\n")
    path = str(program)
    binary_cache.store(path, binary_cache.identity(path), "--help", "words")
    (file,) = (tmp_path / "ganeti-hv-kvm").iterdir()
    return program, file


def test_the_cache_is_believed(tmp_path, kept):
    (told,) = cache.diagnoses(tmp_path)
    assert (told.finding.level, told.finding.text) == (Level.WELL, "1 binary is known")
    assert [one.finding.level for one in cache.diagnoses(tmp_path / "none")] == [Level.WELL]


def _replaced(program, file):
    program.write_text("#!/bin/sh\nexit\n")


def _gone(program, file):
    program.unlink()


def _damaged(program, file):
    file.write_text("{")


def _no_object(program, file):
    file.write_text(json.dumps([3]))


def _of_others(program, file):
    file.chmod(0o666)


def _a_link(program, file):
    file.unlink()
    os.symlink("/etc/hostname", file)


@pytest.mark.parametrize(
    ("damage", "level"),
    [
        (_replaced, Level.NOTE),
        (_gone, Level.NOTE),
        (_damaged, Level.NOTE),
        (_no_object, Level.NOTE),
        (_of_others, Level.TROUBLE),
        (_a_link, Level.TROUBLE),
    ],
)
def test_what_is_not_believed_is_removed(tmp_path, kept, damage, level):
    damage(*kept)
    (told,) = cache.diagnoses(tmp_path)
    assert told.finding.level is level
    list(repair.carry_out(told.steps, None))
    assert list((tmp_path / "ganeti-hv-kvm").iterdir()) == []
