"""A real terminal for a program: tmux, whose screen can be read and whose keys can be pressed."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_AMPLE = 60.0


class Terminal:
    """One window of one tmux server of its own; a shell runs in it."""

    def __init__(self, socket: Path) -> None:
        self._tmux = ["tmux", "-S", str(socket), "-f", "/dev/null"]

    def start(self, width: int, height: int) -> None:
        size = ["-x", str(width), "-y", str(height)]
        shell = "env PS1='ready> ' HISTFILE= TERM=screen-256color bash --norc -i"
        self._call("new-session", "-d", *size, shell)
        self.wait_for(lambda text: "ready>" in text)

    def _call(self, *words: str) -> str:
        done = subprocess.run(
            [*self._tmux, *words], check=True, capture_output=True, text=True, timeout=_AMPLE
        )
        return done.stdout

    def run(self, argv: Sequence[str]) -> None:
        """Give the shell a command."""
        self._call("send-keys", "-l", shlex.join(argv))
        self.press("Enter")

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names of them."""
        self._call("send-keys", *keys)

    def resize(self, width: int, height: int) -> None:
        self._call("resize-window", "-x", str(width), "-y", str(height))

    def text(self, *, colours: bool = False) -> str:
        """What is on the screen."""
        return self._call("capture-pane", "-p", *(["-e"] if colours else []))

    def is_cursor_shown(self) -> bool:
        return self._call("display-message", "-p", "#{cursor_flag}").strip() == "1"

    def wait_for(self, is_there: Callable[[str], bool]) -> str:
        limit = time.monotonic() + _AMPLE
        while not is_there(text := self.text()):
            assert time.monotonic() < limit, f"the screen stays:\n{text}"
            time.sleep(0.05)
        return text

    def close(self) -> None:
        self._call("kill-server")


@contextmanager
def terminal(width: int = 150, height: int = 24) -> Iterator[Terminal]:
    """A terminal with a shell that says "ready>"."""
    with tempfile.TemporaryDirectory() as folder:
        made = Terminal(Path(folder) / "tmux")
        os.environ.pop("TMUX", None)
        made.start(width, height)
        try:
            yield made
        finally:
            made.close()
