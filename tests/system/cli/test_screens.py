"""``top`` and ``list --watch`` in a real terminal."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from harness import troubled
from harness.terminal import terminal
from harness.the_command import COMMAND, NAME_IN_PROC

pytestmark = [pytest.mark.qemu, pytest.mark.only_3_0]  # no Ganeti has a say in it


def pid_of(text: str) -> int:
    """The command's process, by its command line."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if NAME_IN_PROC in words and text.encode() in words:
            return int(folder.name)
    raise AssertionError(text)


def test_list_is_watched(run):
    with troubled.node(run, "paused", "stopped"), terminal() as screen:
        screen.run([*COMMAND, "list", "--watch", "--interval", "0.2", "--run-dir", str(run)])
        text = screen.wait_for(lambda text: "paused0" in text)
        assert "ready>" not in text
        assert text.splitlines()[1].startswith("stopped0.example.com")
        assert "\x1b[31mstopped" in screen.text(colours=True)
        assert not screen.is_cursor_shown()
        with troubled.running(run) as guest:
            screen.wait_for(lambda text: "running0" in text)
            with troubled.monitor(guest) as qmp:
                qmp.execute_qmp("stop")
            screen.wait_for(lambda text: text.count(" paused ") == 2)
        screen.wait_for(lambda text: "running0" not in text)
        screen.press("q")
        text = screen.wait_for(lambda text: text.rstrip().endswith("ready>"))
        assert "paused0" not in text
        assert screen.is_cursor_shown()


def test_top_sorts_resizes_and_rests(run):
    with troubled.node(run, "running", "stopped"), terminal() as screen:
        screen.run([*COMMAND, "top", "--interval", "0.3", "--run-dir", str(run)])
        text = screen.wait_for(lambda text: "CPU%" in text and "running0" in text)
        assert "guests: 2, in trouble: 1" in text
        screen.press("m")
        screen.wait_for(lambda text: text.index("running0") < text.index("stopped0"))
        screen.resize(40, 4)
        text = screen.wait_for(lambda text: "more" in text)
        assert len(text.splitlines()) <= 4
        screen.resize(150, 24)
        screen.wait_for(lambda text: "more" not in text and "stopped0" in text)
        screen.press("C-z")
        screen.wait_for(lambda text: "Stopped" in text and text.rstrip().endswith("ready>"))
        assert screen.is_cursor_shown()
        screen.run(["fg"])
        screen.wait_for(lambda text: "CPU%" in text)
        os.kill(pid_of("top"), signal.SIGTERM)
        screen.wait_for(lambda text: text.rstrip().endswith("ready>"))
        assert screen.is_cursor_shown()
        # keys are seen again: the terminal is as it was
        screen.run(["echo", "typed"])
        screen.wait_for(lambda text: "echo typed\ntyped" in text)


def test_what_takes_long_is_said_on_a_terminal(run):
    with troubled.node(run, "held"), terminal() as screen:
        screen.run([*COMMAND, "list", "--timeout", "4", "--run-dir", str(run)])
        screen.wait_for(lambda text: "asking the guests, 4 s at most ..." in text)
        text = screen.wait_for(lambda text: "holds its monitor" in text)
        assert "asking" not in text


def test_a_guest_that_hangs_does_not_hold_the_screen(run):
    with troubled.node(run, "held", "running"), terminal() as screen:
        screen.run(
            [*COMMAND, "top", "--interval", "0.3", "--timeout", "0.3", "--run-dir", str(run)]
        )
        screen.wait_for(lambda text: "busy" in text and "running0" in text)
        screen.press("q")
        screen.wait_for(lambda text: text.rstrip().endswith("ready>"))
