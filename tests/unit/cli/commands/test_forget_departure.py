"""``ganeti-hv-kvm forget-departure``."""

from __future__ import annotations

import pytest
from ganeti import pathutils

from ganeti_hv_kvm import cli
from ganeti_hv_kvm.cli.commands import forget_departure
from ganeti_hv_kvm.cli.frame import exit_status
from ganeti_hv_kvm.hv_kvm.migration import departure


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(pathutils, "DATA_DIR", str(tmp_path))
    made = tmp_path / departure.DIRECTORY
    made.mkdir()
    return made


def test_both_look_in_the_same_place():
    assert forget_departure.DIRECTORY == departure.DIRECTORY


def test_the_refusal_names_this_command():
    assert departure.COMMAND == "ganeti-hv-kvm forget-departure"


@pytest.mark.parametrize("content", ["{}", "damaged"])
def test_it_is_forgotten(folder, capsys, content):
    (folder / "web").write_text(content)
    (folder / "other").write_text("{}")
    assert cli.main(["forget-departure", "web"]) == exit_status.WELL
    assert departure.names() == {"other"}
    assert "can be started" in capsys.readouterr().out


def test_nothing_to_forget(capsys):
    assert cli.main(["forget-departure", "web"]) == exit_status.WELL
    assert "Nothing is remembered" in capsys.readouterr().out


def test_it_cannot_be_removed(folder, capsys):
    (folder / "web").mkdir()
    assert cli.main(["forget-departure", "web"]) == exit_status.FAILED
    assert "still there" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "..", "../ssconf_node_list"])
def test_no_name(name, capsys):
    assert cli.main(["forget-departure", name]) == exit_status.FAILED
    assert "not the name" in capsys.readouterr().err
