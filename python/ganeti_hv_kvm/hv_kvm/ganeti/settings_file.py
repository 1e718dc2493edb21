"""The cluster's settings file: what its lines say, whatever state it is in.

``/etc/ganeti/ganeti-hv-kvm.conf`` has one section, ``[hv-kvm]``, with a setting on each line.
Ganeti copies it to all nodes. It is read when a setting is needed, and again when it has changed:
the node daemon runs for months. Nothing here raises: a guest's life must not hang on this file.
"""

from __future__ import annotations

import io
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ganeti import pathutils

#: Where the file is on each node.
PATH: str = pathutils.CONF_DIR + "/ganeti-hv-kvm.conf"
SECTION = "hv-kvm"

#: Bytes; one with all settings and their comments has a twentieth of it.
_MOST = 1 << 16
_SHOWN = 50
#: Of 64 KiB of slips a log, and an error, would have mebibytes.
_TOLD = 10
#: One that is taken for another is wrong on both sides.
_MOST_WRONG_LETTERS = 2
_SECTION_LINE = re.compile(r"\[\s*([^]]*?)\s*\]$")
_SETTING_LINE = re.compile(r"([^=:\s]+)\s*[=:]\s*(.*)$")


class Line(NamedTuple):
    """What the file says of a setting: the text, and the number of the line."""

    text: str
    number: int


class Content(NamedTuple):
    """What the file says.

    Attributes:
        lines: by the setting's name.
        problems: what cannot be understood, with the file and the line; nothing of that holds.
        exists: there is a file, or it cannot be told.
    """

    lines: Mapping[str, Line] = {}
    problems: Sequence[str] = ()
    exists: bool = True


_NONE = Content(exists=False)

# what os.stat says of the file that was read -> its content
_cache: tuple[tuple[str, int, int, int, int, int], Content] | None = None


def content() -> Content:
    """Give what the file says now."""
    global _cache  # noqa: PLW0603  one file for the process; a tuple is replaced at once
    try:
        seen = os.stat(PATH)
        if not stat.S_ISREG(seen.st_mode):
            # to open a watchdog, or a tape, does something
            raise ValueError("it is no file")
        mark = (PATH, seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
        known = _cache
        if known is None or known[0] != mark:
            known = _cache = (mark, _parse(_read()))
    except FileNotFoundError:
        return _of_link() if os.path.islink(PATH) else _NONE
    except (OSError, ValueError) as err:
        # not kept: the next look may be luckier
        return Content(problems=(f"{PATH} cannot be read: {err}",))
    return known[1]


def _of_link() -> Content:
    # what it points to may lie on a file system that is not mounted: that says nothing of it
    what = "it is a link, and where it points there is nothing"
    return Content(problems=(f"{PATH} cannot be read: {what}",))


def _read() -> str:
    # a pipe that comes into its place just now must not hold us
    descriptor = os.open(PATH, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no file")
        data = stream.read(_MOST + 1)
    if len(data) > _MOST:
        raise ValueError(f"it has more than {_MOST} bytes")
    # some editors begin with a byte order mark
    return data.decode("utf-8-sig")


def _parse(text: str) -> Content:
    lines: dict[str, Line] = {}
    problems: list[str] = []
    section: str | None = None
    # str.splitlines() ends them at form feeds too: what stood in a comment behind one held
    for number, raw in enumerate(io.StringIO(text, newline=None), 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if found := _SECTION_LINE.match(line):
            section = found[1]
            problem = None if section == SECTION else f"the section is [{SECTION}]"
        else:
            problem = _setting(line, number, section, lines)
        if problem:
            problems.append(f"{PATH}, line {number}: {line[:_SHOWN]!r}: {problem}")
    return Content(lines, tuple(problems))


def _setting(line: str, number: int, section: str | None, lines: dict[str, Line]) -> str | None:
    """Take a line with a setting; say what is wrong with it."""
    if section != SECTION:
        return f"it stands outside of the section [{SECTION}]"
    found = _SETTING_LINE.match(line)
    if found is None:
        return "that is no NAME = VALUE"
    if found[1] in lines:
        return f"it stands on line {lines[found[1]].number} already, and that one holds"
    lines[found[1]] = Line(found[2], number)
    return None


def few(problems: Iterable[str]) -> list[str]:
    """Give the first of some problems, and how many more there are."""
    found = list(problems)
    more = len(found) - _TOLD
    return [*found[:_TOLD], f"{PATH}: {more} more lines are wrong"] if more > 0 else found


def speaks_of(text: str, name: str) -> bool:
    """Tell whether a text has a setting's name in it, however its words are put together."""
    return _letters(name) in _letters(text)


def may_mean(word: str, name: str) -> bool:
    """Tell whether a word may be a slip of somebody who meant a setting's name."""
    written, meant = Counter(_letters(word)), Counter(_letters(name))
    return ((written - meant) + (meant - written)).total() <= _MOST_WRONG_LETTERS


def _letters(text: str) -> str:
    return "".join(one for one in text.lower() if one.isalpha())
