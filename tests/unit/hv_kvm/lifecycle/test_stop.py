"""Stopping an instance, with seams in place of QEMU."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from ganeti import errors

from ganeti_hv_kvm.errors import ProcessUnknownError, QmpTimeoutError
from ganeti_hv_kvm.hv_kvm.guest.files import Directories, InstanceFiles
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.lifecycle import stop

NAME = "web1.example.com"


class Monitor:
    """A QEMU whose guest runs; keeps what it is told."""

    def __init__(self, given, *, answers=True):
        self.timeout = 5.0
        self._given, self._answers = given, answers

    def __enter__(self):
        if not self._answers:
            raise QmpTimeoutError("no answer within 5 s")
        return self

    def __exit__(self, *_error):
        return None

    def execute_qmp(self, command, arguments=None):
        self._given.append(command)
        return {"status": "running", "running": True}


@pytest.fixture
def files(tmp_path):
    directories = Directories(*(str(tmp_path / name) for name in Directories._fields))
    for directory in directories:
        (tmp_path / directory).mkdir()
    return InstanceFiles(directories, NAME)


@pytest.fixture
def ended(monkeypatch):
    calls = []
    monkeypatch.setattr(stop.process, "kill", calls.append)
    return calls


def guest(files, pid=7, *, answers=True, acpi=True):
    given = []

    def pid_alive(name):
        if isinstance(pid, Exception):
            raise pid
        return files.pidfile, pid or 0, pid is not None

    seams = SimpleNamespace(
        pid_alive=pid_alive, qmp_connection=lambda path: Monitor(given, answers=answers)
    )
    made = Guest(SimpleNamespace(name=NAME, hvparams={"acpi": acpi}), files, seams)
    return made, given


def test_by_force(files, ended):
    made, given = guest(files)
    stop.power_off(made)
    assert ended == [files]
    assert given == []


def test_by_force_though_it_is_down(files, ended):
    stop.power_off(guest(files, None)[0])
    assert ended == []


def test_nothing_is_ended_on_a_doubt(files, ended):
    with pytest.raises(ProcessUnknownError):
        stop.power_off(guest(files, ProcessUnknownError("no descriptor is left"))[0])
    assert ended == []


def test_a_guest_is_asked(files, ended):
    made, given = guest(files)
    assert stop.power_down(made, None)
    assert given == ["query-status", "system_powerdown"]
    assert ended == []


def test_a_guest_without_a_power_button_is_ended(files, ended):
    made, given = guest(files, acpi=False)
    assert stop.power_down(made, None)
    assert given == []
    assert ended == [files]


def test_whoever_asks_again_hears_only_the_log(files, ended, caplog):
    made, _ = guest(files, answers=False)
    with caplog.at_level(logging.WARNING):
        assert not stop.power_down(made, 3.0)
    assert "was not asked" in caplog.text
    assert ended == []


def test_whoever_does_not_ask_again_hears_an_error(files, ended):
    made, _ = guest(files, answers=False)
    with pytest.raises(errors.HypervisorError):
        stop.power_down(made, None)
    assert ended == []


def left(tmp_path):
    return {str(path) for path in tmp_path.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("pid", "text"), [(7, "still runs"), (ProcessUnknownError("no descriptor"), "were left")]
)
def test_nothing_is_cleaned_up_under_a_guest_that_runs_or_may(files, tmp_path, pid, text):
    """Fault: an error that did not name the files that it left."""
    for path in (files.pidfile, files.runtime):
        (tmp_path / path).write_text("x")
    before = left(tmp_path)
    with pytest.raises(errors.HypervisorError, match=text) as caught:
        stop.clean_up(guest(files, pid)[0])
    assert left(tmp_path) == before
    if not isinstance(pid, int):
        assert files.runtime in str(caught.value)
        assert files.nic_dir in str(caught.value)


def test_what_a_stopped_guest_left_is_removed(files, tmp_path):
    for path in (files.pidfile, files.qmp, files.shutdown):
        (tmp_path / path).write_text("")
    stop.clean_up(guest(files, None)[0])
    assert left(tmp_path) == set()
