"""``ganeti-hv-kvm forget-departure``."""

from __future__ import annotations

import pytest
from ganeti import pathutils

from ganeti_hv_kvm import cli
from ganeti_hv_kvm.cli.frame import exit_status
from ganeti_hv_kvm.cli.node import departures
from ganeti_hv_kvm.hv_kvm.migration import departure


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(pathutils, "DATA_DIR", str(tmp_path))
    made = tmp_path / departure.DIRECTORY
    made.mkdir()
    return made


@pytest.fixture
def forget(tmp_path):
    """Call the command; a process of its own asks this Ganeti where its data is."""
    code = tmp_path / "code/ganeti"
    code.mkdir(parents=True)
    (code / "__init__.py").touch()
    (code / "pathutils.py").write_text(f"DATA_DIR = {str(tmp_path)!r}")
    return lambda name: cli.main(["forget-departure", name, "--ganeti", str(code.parent)])


def test_both_look_in_the_same_place():
    assert departures.NAME == departure.DIRECTORY


def test_the_refusal_names_this_command():
    assert departure.COMMAND == "ganeti-hv-kvm forget-departure"


@pytest.mark.parametrize("content", ["{}", "damaged"])
def test_it_is_forgotten(folder, forget, capsys, content):
    (folder / "web").write_text(content)
    (folder / "other").write_text("{}")
    assert forget("web") == exit_status.WELL
    assert departure.names() == {"other"}
    told = capsys.readouterr().out
    assert "can be started" in told
    assert "cannot be asked" not in told


def test_nothing_to_forget(forget, capsys):
    assert forget("web") == exit_status.WELL
    assert "Nothing is remembered" in capsys.readouterr().out


def test_records_that_are_not_mounted(folder, forget, capsys):
    """Fault: it said that nothing is remembered."""
    folder.rmdir()
    folder.symlink_to("/nowhere/kvm-departed")
    assert forget("web") == exit_status.FAILED
    assert "whether web has left this node cannot be told" in capsys.readouterr().err


def test_it_cannot_be_removed(folder, forget, capsys):
    (folder / "web").mkdir()
    assert forget("web") == exit_status.FAILED
    assert "still there" in capsys.readouterr().err


def test_a_ganeti_that_cannot_be_asked_is_said(tmp_path, forget, capsys):
    (tmp_path / "code/ganeti/pathutils.py").write_text("raise ImportError('broken')")
    assert forget("web") == exit_status.WELL
    told = capsys.readouterr().out
    assert "Ganeti cannot be asked" in told
    assert "broken" in told
    assert "taken to be in /var/lib/ganeti" in told


@pytest.mark.parametrize("name", ["", "..", "../ssconf_node_list"])
def test_no_name(name, forget, capsys):
    assert forget(name) == exit_status.FAILED
    assert "not the name" in capsys.readouterr().err
