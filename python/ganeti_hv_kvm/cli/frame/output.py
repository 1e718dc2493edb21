"""Where a command's words go: answers to stdout, everything else to stderr.

What others wrote (names, QEMU's words) is quoted: none of it may move a terminal's cursor.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

PROGRAM = "ganeti-hv-kvm"

#: SGR parameters (ECMA-48).
RED, GREEN, YELLOW, BOLD, DIM = "31", "32", "33", "1", "2"
_STDERR = 2
_CLEAR_LINE = "\r\x1b[K"


def quoted(text: str) -> str:
    """Give what others wrote on one line, its control characters and lone surrogates escaped."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _escaped(one) for one in text)


def _escaped(one: str) -> str:
    return one.encode("unicode_escape").decode("ascii")


def write(text: str = "") -> None:
    """Write a line of the answer."""
    print(text)


def write_json(value: object, *, indent: int | None = 2) -> None:
    """Write an answer for programs; what JSON has no word for is written as text."""
    print(json.dumps(value, indent=indent, default=str), flush=indent is None)


def complain(text: str) -> None:
    """Say what is wrong, on stderr, under the program's name; where that is full, nobody hears."""
    # whoever made the text may have forgotten a name, or a path with one in it
    shown = "\n".join(map(quoted, text.split("\n")))
    try:
        print(f"{PROGRAM}: {shown}", file=sys.stderr, flush=True)
    except OSError:
        _give_up(sys.stderr)


def is_coloured() -> bool:
    """Tell whether stdout is a terminal that may be coloured (https://no-color.org)."""
    return (
        sys.stdout.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "dumb") != "dumb"
    )


def painted(text: str, colour: str, *, is_on: bool | None = None) -> str:
    """Give the text in a colour, where colours are shown."""
    if not text or not (is_coloured() if is_on is None else is_on):
        return text
    return f"\x1b[{colour}m{text}\x1b[0m"


@contextmanager
def progress(text: str) -> Iterator[None]:
    """Say on a terminal what takes long, for as long as it does."""
    shown = sys.stderr.isatty()
    if shown:
        print(f"{text} ...", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if shown:
            print(_CLEAR_LINE, end="", file=sys.stderr, flush=True)


def prepare_streams() -> None:
    """Make stdin, stdout and stderr such that a text can go through, whatever they are.

    Where one is closed (``>&-``, some cron), Python has None in its place; and what is opened next
    would be it. Where the locale has no character, it is escaped.
    """
    # each gets the lowest number that is free
    while (spare := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.dup(spare), mode, encoding="utf-8"))
    os.close(spare)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def give_up_stdout() -> None:
    """After a closed pipe: whoever read has seen enough, and Python must not find out again."""
    _give_up(sys.stdout)


def _give_up(stream: TextIO) -> None:
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
