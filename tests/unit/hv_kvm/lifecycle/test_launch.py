"""Running QEMU: real processes in its place, and what an operator is told of one that fails."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ganeti import errors, utils

from ganeti_hv_kvm.hv_kvm.lifecycle import launch, new_runtime
from unit.hv_kvm.command_line import samples
from unit.hv_kvm.node_of_one import instance


@pytest.fixture
def guest(node):
    return node.guest(instance())


@pytest.fixture
def log(node):
    """QEMU's own log (-D)."""
    return Path(new_runtime.log_file(samples.NAME))


def shell(script):
    return ["/bin/sh", "-c", script]


def test_it_is_there(node, guest):
    node.start_qemu()
    launch.run(guest, shell("exit 0"), ())


def test_it_inherits_what_it_is_given_and_nothing_else(node, guest, tmp_path):
    node.start_qemu()
    given, kept = (os.open(tmp_path / name, os.O_CREAT | os.O_WRONLY) for name in ("a", "b"))
    try:
        script = f"echo x >/proc/self/fd/{given}; ! test -e /proc/self/fd/{kept}"
        launch.run(guest, shell(script), [given])
    finally:
        os.close(given)
        os.close(kept)
    assert (tmp_path / "a").read_text() == "x\n"


def test_what_it_says_is_told(guest):
    with pytest.raises(errors.HypervisorError, match=r"code 1.* and said: no such machine"):
        launch.run(guest, shell("echo no such machine >&2; exit 1"), ())


def test_so_is_what_it_writes_into_its_log(guest, log):
    script = f"echo a warning >&2; echo no memory >{log}; exit 1"
    with pytest.raises(errors.HypervisorError, match="said: a warning\nno memory"):
        launch.run(guest, shell(script), ())


def test_what_an_earlier_one_wrote_is_not(guest, log):
    log.write_text("no memory\n")
    with pytest.raises(errors.HypervisorError, match=r"said: nothing$"):
        launch.run(guest, shell("exit 1"), ())


def test_a_long_log_is_cut(guest, log):
    script = f"yes warning | head -c 100000 >{log}; echo the end >>{log}; exit 1"
    with pytest.raises(errors.HypervisorError, match=r"the end$") as caught:
        launch.run(guest, shell(script), ())
    assert len(str(caught.value)) < 3000


def test_one_that_came_up_and_went(guest, log):
    with pytest.raises(errors.HypervisorError, match="came up and went again, and said: a bug"):
        launch.run(guest, shell(f"echo a bug >{log}"), ())


def test_a_binary_that_is_not_there(guest):
    with pytest.raises(errors.HypervisorError, match=f"{samples.NAME} was not started"):
        launch.run(guest, ["/nonexistent/qemu"], ())


@pytest.fixture
def on_its_way(monkeypatch):
    """A process that was started when something failed here."""
    process = subprocess.Popen(["sleep", "600"])

    def fail(_command, *, postfork_fn, **_more):
        postfork_fn(process.pid)
        raise OSError(12, "no memory")

    monkeypatch.setattr(utils, "RunCmd", fail)
    yield process
    process.kill()
    process.wait()


def test_one_that_may_become_qemu_yet_is_named(guest, on_its_way, monkeypatch):
    monkeypatch.setattr(launch, "_STARTING", 0.1)
    with pytest.raises(errors.HypervisorError, match=f"process {on_its_way.pid}, to become its"):
        launch.run(guest, shell("exit 0"), ())


def test_one_that_gave_up_meanwhile_is_not(guest, on_its_way):
    on_its_way.kill()
    with pytest.raises(errors.HypervisorError, match=r"no memory$"):
        launch.run(guest, shell("exit 0"), ())
