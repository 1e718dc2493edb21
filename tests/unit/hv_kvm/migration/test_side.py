"""How long a QEMU under migration is waited for, and what is seen of one that does not answer."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.ganeti import settings
from ganeti_hv_kvm.hv_kvm.guest import process
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.migration import side


class Connection:
    timeout = 5.0
    answers = {}

    def __init__(self, path):
        self.path = path
        self.made.append(self)

    def __enter__(self):
        if self.answers is None:
            raise errors.HypervisorError("no answer")
        return self

    def __exit__(self, *_):
        pass

    def execute_qmp(self, command):
        return self.answers if command == "query-migrate" else {"status": "running"}


@pytest.fixture
def guest():
    class Made(Connection):
        made = []

    pids = [7]
    seams = SimpleNamespace(qmp_connection=Made, pid_alive=lambda name: ("", pids[0], pids[0] > 0))
    made = Guest(None, SimpleNamespace(name="web", qmp="/qmp"), seams)
    return SimpleNamespace(made=made, kind=Made, pids=pids)


def test_what_qemu_says(guest):
    guest.kind.answers = {"status": "failed", "error-desc": "broken"}
    assert side.look(guest.made) == side.NodeState(
        run_state="running", status="failed", error="broken"
    )


def test_it_never_migrated(guest):
    assert side.look(guest.made).status == "none"


def test_gone(guest):
    guest.pids[0] = 0
    assert side.look(guest.made) == side.GONE


def test_whether_it_is_there_cannot_be_told(guest, monkeypatch):
    def pid_alive(name):
        raise errors.HypervisorError("no descriptor is left")

    monkeypatch.setattr(guest.made.seams, "pid_alive", pid_alive)
    seen = side.look(guest.made)
    assert seen.alive is None
    assert "no descriptor" in seen.error
    assert not guest.made.is_gone()
    assert "no descriptor" in guest.made.process()


def test_that_it_went_meanwhile_cannot_be_told(guest, monkeypatch):
    guest.kind.answers = None
    asked = []

    def pid_alive(name):
        asked.append(name)
        if len(asked) > 2:
            raise errors.HypervisorError("no descriptor is left")
        return "", 7, True

    monkeypatch.setattr(guest.made.seams, "pid_alive", pid_alive)
    assert side.look(guest.made).alive is None


@pytest.mark.parametrize("answer", [{"status": 5}, {"status": "a\nb"}, [], None])
def test_nonsense_is_silence(guest, monkeypatch, answer):
    monkeypatch.setattr(guest.kind, "execute_qmp", lambda self, command: answer)
    assert side.look(guest.made) == side.SILENT


def test_silent(guest):
    guest.kind.answers = None
    assert side.look(guest.made) == side.SILENT


def test_a_living_qemu_gets_a_minute(guest):
    side.look(guest.made)
    assert guest.kind.made[0].timeout == settings.MIGRATION.default


def test_a_stopped_one_gets_less(guest, monkeypatch):
    monkeypatch.setattr(process, "is_stopped", lambda pid: True)
    side.look(guest.made)
    assert guest.kind.made[0].timeout == side.STOPPED_DEADLINE


def test_the_environment_says_another(guest, monkeypatch):
    monkeypatch.setenv(settings.MIGRATION.variable, "90.5")
    side.look(guest.made)
    assert guest.kind.made[0].timeout == 90.5


@pytest.mark.parametrize("text", ["", "soon", "-1", "0", "inf", "nan"])
def test_the_environment_says_nonsense(guest, monkeypatch, caplog, text):
    monkeypatch.setenv(settings.MIGRATION.variable, text)
    side.look(guest.made)
    assert guest.kind.made[0].timeout == settings.MIGRATION.default
    assert settings.MIGRATION.variable in caplog.text
