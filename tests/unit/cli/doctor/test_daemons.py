"""Which module running programs have, beside what a new one gets."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

import ganeti_hv_kvm
from ganeti_hv_kvm import _native
from ganeti_hv_kvm.cli.doctor import daemons
from ganeti_hv_kvm.cli.doctor.daemons import Daemon, Mapped
from ganeti_hv_kvm.cli.frame.finding import Level
from ganeti_hv_kvm.cli.interpreter import Answer

NATIVE = _native.__file__


def answer(module, **facts):
    return Answer(module, "why so", {"native": NATIVE, **facts})


def inode():
    import os

    return os.stat(NATIVE).st_ino


def daemon(mapped=None, began=None, doubt=None):
    return Daemon(7, "ganeti-noded", time.time() + 10 if began is None else began, mapped, doubt)


def first(one, told, log):
    return daemons.findings([one], told, "no Ganeti", log)[0]


@pytest.mark.parametrize(
    ("one", "told", "level", "text"),
    [
        (daemon(), answer("replacement"), Level.TROUBLE, "still has Ganeti's own module"),
        (daemon(), answer("original"), Level.WELL, "has Ganeti's own module"),
        (daemon(), None, Level.WELL, "has Ganeti's own module"),
        (daemon(doubt="EPERM"), answer("replacement"), Level.UNKNOWN, "EPERM"),
        (
            daemon(Mapped(NATIVE, False, inode())),
            answer("replacement"),
            Level.WELL,
            "as it is inst",
        ),
        (
            daemon(Mapped(NATIVE, False, inode())),
            answer("original"),
            Level.TROUBLE,
            "still has gane",
        ),
        (
            daemon(Mapped(NATIVE, True, inode())),
            answer("replacement"),
            Level.TROUBLE,
            "was replaced",
        ),
        (daemon(Mapped(NATIVE, False, 3)), answer("replacement"), Level.TROUBLE, "another"),
        (daemon(Mapped("/x", False, inode())), answer("replacement"), Level.TROUBLE, "it has /x"),
        (
            daemon(Mapped(NATIVE, False, inode()), began=1.0),
            answer("replacement"),
            Level.TROUBLE,
            "were installed after it began",
        ),
        (daemon(Mapped(NATIVE, False, inode())), None, Level.WELL, "as it is installed"),
    ],
)
def test_each(tmp_path, one, told, level, text):
    found = first(one, told, tmp_path / "none")
    assert (found.level, text in found.text) == (level, True), found.text
    if level is Level.TROUBLE:
        assert found.advice == ("service ganeti restart",)


def test_one_that_stood_aside(tmp_path):
    log = tmp_path / "log"
    log.write_text(
        "2026-11-29 10:00:00,1: ganeti-noded pid=77 WARNING ganeti-hv-kvm cannot be used, ...: x\n"
        "2026-11-29 10:00:00,1: ganeti-noded pid=7 WARNING ganeti-hv-kvm cannot be used,"
        " Ganeti's own KVM module is: DamagedError: cut short\n"
    )
    mapped = Mapped(NATIVE, False, inode())
    found = first(daemon(mapped), answer("replacement"), log)
    assert found.level is Level.TROUBLE
    assert "as its log says: Ganeti's own KVM module is: DamagedError: cut short" in found.text


def test_no_node_daemon_and_no_answer(tmp_path):
    told = daemons.findings([], None, "Ganeti hangs", tmp_path / "none")
    assert [one.level for one in told] == [Level.TROUBLE, Level.UNKNOWN]
    assert "Ganeti hangs" in told[1].text


@pytest.mark.parametrize(
    ("told", "level"),
    [
        (Answer("original", "not enabled", {}), Level.NOTE),
        (Answer("original", "ganeti-hv-kvm stood aside: x", {}), Level.TROUBLE),
        (Answer("none", "Ganeti cannot be imported: x", {}), Level.TROUBLE),
        (answer("replacement", package_version="0.1.0"), Level.WELL),
    ],
)
def test_a_new_one(tmp_path, told, level):
    assert daemons.findings([daemon()], told, "", tmp_path / "x")[1].level is level


def test_a_parameter_that_nobody_knows(tmp_path):
    told = daemons.findings(
        [daemon()], answer("replacement", unknown_parameters=["new_one"]), "", tmp_path / "x"
    )
    assert "does not know: new_one" in told[-1].text


_PROGRAM = """
import sys, time
{load}
print("ready", flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("has_ours", [False, True])
def test_a_real_process(tmp_path, has_ours):
    """A program of that name, found by its command line, its module by what it has mapped."""
    program = tmp_path / "ganeti-noded"
    program.write_text(_PROGRAM.format(load="from ganeti_hv_kvm import _native" * has_ours))
    with subprocess.Popen(
        [sys.executable, str(program), "-f"], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            (found,) = [one for one in daemons.running() if one.pid == process.pid]
            assert found.name == "ganeti-noded"
            assert abs(found.began - time.time()) < 60
            told = first(found, answer("replacement"), tmp_path / "x")
            if has_ours:
                assert found.mapped == Mapped(NATIVE, False, inode())
                assert told.level is Level.WELL or "installed after" in told.text
            else:
                assert found.mapped is None
        finally:
            process.kill()
    assert ganeti_hv_kvm.__name__  # the one that is installed here
