"""Guests by the files on their node."""

from __future__ import annotations

import re

import pytest

from ganeti_hv_kvm.cli.frame.failure import CommandError
from ganeti_hv_kvm.cli.node import guests
from ganeti_hv_kvm.hv_kvm.guest.files import Directories, InstanceFiles


@pytest.fixture
def folder(tmp_path):
    for name in ("pid", "ctrl", "conf"):
        (tmp_path / name).mkdir()
    (tmp_path / "pid/web1.example.com").touch()
    (tmp_path / "ctrl/web2.example.com.qmp").touch()
    (tmp_path / "ctrl/web2.example.com.kvmd").touch()
    (tmp_path / "conf/db.example.com.runtime").touch()
    (tmp_path / "conf/db.example.com.runtime.new-x").touch()
    return tmp_path


def names(found):
    return [guest.name.partition(".")[0] for guest in found]


def test_whatever_file_it_has(folder):
    assert names(guests.find_all(folder)) == ["db", "web1", "web2"]


def test_paths_are_those_of_the_hypervisor(folder):
    places = [str(folder / name) for name in ("pid", "uid", "ctrl", "conf", "nic", "x", "y")]
    theirs = InstanceFiles(Directories(*places), "web")
    ours = guests.LocalGuest("web", folder)
    for name in ("pidfile", "qmp", "kvmd", "runtime", "shutdown"):
        assert str(getattr(ours, name)) == getattr(theirs, name)
    assert str(ours.nics) == theirs.nic_dir


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], ["db", "web1", "web2"]),
        (["web*"], ["web1", "web2"]),
        (["web2", "web?.example.com", "web2"], ["web1", "web2"]),
        (["db.example.com"], ["db"]),
    ],
)
def test_choosing(folder, words, found):
    chosen, wrong = guests.choose(guests.find_all(folder), words)
    assert (names(chosen), wrong) == (found, [])


def test_what_is_not_here(folder):
    chosen, wrong = guests.choose(guests.find_all(folder), ["web1", "web3.example.com", "x\n"])
    assert names(chosen) == ["web1"]
    assert wrong[0].startswith("no guest 'web3.example.com' on this node; did you mean 'web")
    assert wrong[1] == r"no guest 'x\n' on this node"


def test_a_slip_in_a_name_without_its_domain(folder):
    """Fault: it was compared with whole names alone, which are like none that is short."""
    says = "no guest 'wbe1' on this node; did you mean 'web1'?"
    assert guests.choose(guests.find_all(folder), ["wbe1"]) == ([], [says])
    with pytest.raises(CommandError, match=re.escape(says)):
        guests.find(folder, "wbe1")


def test_one(folder):
    assert guests.find(folder, "web1").name == "web1.example.com"
    with pytest.raises(CommandError, match="did you mean"):
        guests.find(folder, "web.example.com")
    (folder / "pid/web1.example.org").touch()
    with pytest.raises(CommandError, match=r"may be each of web1.example.com, web1.example.org"):
        guests.find(folder, "web1")


def test_doubt_is_not_absence(tmp_path):
    assert guests.find_all(tmp_path) == []
    (tmp_path / "ctrl").write_text("no directory")
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(CommandError, match="cannot be told which guests are here"):
            guests.find_all(folder)
