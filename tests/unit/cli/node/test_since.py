"""Since when a guest is as it is."""

from __future__ import annotations

import json
import os

import pytest

from ganeti_hv_kvm.cli.node import since


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "kvm-hypervisor").mkdir()
    return tmp_path / "kvm-hypervisor"


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(since.time, "clock_gettime", lambda _which: now[0])
    return now


def test_what_stays_the_same(folder, clock):
    assert since.note(folder, {"web": "busy 7", "db": "answered"}, are_all=True) == {}
    clock[0] += 5
    told = since.note(folder, {"web": "busy 7", "db": "stopped"}, are_all=True)
    assert told == {"web": 5.0}
    clock[0] += 2
    told = since.note(folder, {"db": "stopped"}, are_all=False)
    assert told == {"db": 2.0}
    assert since.note(folder, {"web": "busy 7"}, are_all=True) == {"web": 7.0}
    assert since.note(folder, {"db": "stopped"}, are_all=False) == {}


def test_after_a_reboot_nothing_is_known(folder, clock):
    since.note(folder, {"web": "busy 7"}, are_all=True)
    clock[0] = 3.0
    assert since.note(folder, {"web": "busy 7"}, are_all=True) == {}


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "7", '{"web": 7}', "[" * 100000, '{"web": ["x", []]}'),
        # fault: a traceback in each list, for no such number has a float
        '{"web": ["x", 1%s]}' % ("0" * 400),
        *('{"web": ["x", -1e999]}', '{"web": ["x", NaN]}', '{"web": ["x", -1]}'),
    ],
    ids=range(10),
)
def test_a_damaged_note_is_none(folder, content):
    path = folder.parent / "ganeti-hv-kvm/seen.json"
    path.parent.mkdir()
    path.write_text(content)
    assert since.note(folder, {"web": "x"}, are_all=True) == {}
    assert list(json.loads(path.read_text())) == ["web"]


def test_what_others_may_have_written_is_not_believed(folder, clock):
    since.note(folder, {"web": "x"}, are_all=True)
    path = folder.parent / "ganeti-hv-kvm/seen.json"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o666)
    assert since.note(folder, {"web": "x"}, are_all=True) == {}
    path.unlink()
    os.mkfifo(path)
    assert since.note(folder, {"web": "x"}, are_all=True) == {}


def test_no_room_is_no_error(tmp_path):
    assert since.note(tmp_path / "not/there", {"web": "x"}, are_all=True) == {}
