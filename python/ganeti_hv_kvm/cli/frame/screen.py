"""A terminal's whole screen, drawn again and again, and given back as it was.

Without a terminal each drawing is written under the one before it.
"""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Sequence
from types import FrameType

from ganeti_hv_kvm.cli.frame import output

_ALTERNATE, _NORMAL = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _TO_END_OF_LINE, _TO_END = "\x1b[H", "\x1b[K", "\x1b[J"
_SGR = re.compile(r"(\x1b\[[0-9;]*m)")


class Screen:
    """To be used with ``with``."""

    def __init__(self) -> None:
        self.is_terminal = sys.stdout.isatty()
        self._has_keys = self.is_terminal and sys.stdin.isatty()
        self._before: list[object] = []
        self._is_first = True

    def __enter__(self) -> Screen:
        if self.is_terminal:
            # A signal that ends us must not leave the terminal without its cursor.
            signal.signal(signal.SIGTERM, _end)
            signal.signal(signal.SIGHUP, _end)
            signal.signal(signal.SIGTSTP, self._suspend)
            self._take()
        return self

    def __exit__(self, *_rest: object) -> None:
        if self.is_terminal:
            self._give_back()

    def _take(self) -> None:
        if self._has_keys:
            self._before = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)
        sys.stdout.write(_ALTERNATE)
        sys.stdout.flush()

    def _give_back(self) -> None:
        sys.stdout.write(_NORMAL)
        sys.stdout.flush()
        if self._has_keys:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)  # type: ignore[arg-type]

    def _suspend(self, *_rest: object) -> None:
        """Ctrl-Z: the shell gets its screen, and we get ours when we go on."""
        self._give_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._suspend)
        self._take()

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines, as far as they fit."""
        if not self.is_terminal:
            output.write("\n".join(lines if self._is_first else ["", *lines]))
            sys.stdout.flush()
            self._is_first = False
            return
        # Not what COLUMNS says: the window may have another size by now.
        width, height = os.get_terminal_size(sys.stdout.fileno())
        shown = [cut(line, width) + _TO_END_OF_LINE for line in lines[:height]]
        if len(lines) > height:
            more = f"... {len(lines) - height + 1} more"
            shown[-1] = cut(more, width) + _TO_END_OF_LINE
        sys.stdout.write(_HOME + "\r\n".join(shown) + _TO_END)
        sys.stdout.flush()

    def wait(self, seconds: float) -> str:
        """Wait so long, or until a key is pressed: the key, or ""."""
        if not self._has_keys:
            time.sleep(max(0.0, seconds))
            return ""
        ready, _, _ = select.select([sys.stdin], [], [], max(0.0, seconds))
        return os.read(sys.stdin.fileno(), 1).decode("ascii", "replace") if ready else ""


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def cut(line: str, width: int) -> str:
    """Give the part of a line that a terminal of that width can show; colours take no place."""
    shown, left, is_cut = [], width, False
    for part in _SGR.split(line):
        if part.startswith("\x1b["):
            shown.append(part)
        elif not is_cut:
            shown.append(part[:left])
            is_cut = len(part) > left
            left -= len(part[:left])
    return "".join(shown)


def watch(
    seconds: float,
    drawing: Callable[[], Sequence[str]],
    last: int | None = None,
    press: Callable[[str], None] | None = None,
) -> None:
    """Draw, and draw again ``seconds`` later, until q is pressed or ``last`` drawings were made.

    ``press`` is told each other key.
    """
    with Screen() as screen:
        drawn = 0
        while True:
            screen.draw(drawing())
            drawn += 1
            if drawn == last:
                return
            key = screen.wait(seconds)
            if key in ("q", "Q"):
                return
            if key and press is not None:
                press(key)
