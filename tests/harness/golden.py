"""What a command said, beside what it is to say: process ids, times, versions and folders aside.

Columns of a table are as wide as what is in them; that they are straight is asserted here.

GANETI_HV_KVM_WRITE_GOLDEN=1 writes the files instead.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

from . import paths

FOLDER = paths.PROJECT / "tests/data/cli"


def _without_numbers(found: re.Match[str]) -> str:
    return re.sub(r"\d+(\.\d+)?[KMGT]?\b", "N", found[0])


_REPLACED: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"(process |kill |-wwfp |-wwLfp |-p |-CONT |/proc/|--pid )\d+"), r"\1PID"),
    (re.compile(r"^(\s+)\d+ (?=qemu|CPU|worker|call_rcu|IO )", re.M), r"\1TID "),
    (re.compile(r"^(!! thread +)\d+", re.M), r"\1TID"),
    (re.compile(r"\b\d+d\d\dh|\b\d+h\d\dm|\b\d+m\d\ds|\b\d+(\.\d)?s\b"), "TIME"),
    (re.compile(r"(process PID) \(.+, began TIME ago\)"), r"\1 (COMMAND, began TIME ago)"),
    (re.compile(r"QEMU \d+\.\d+\.\d+"), "QEMU VERSION"),
    (re.compile(r"\b\d+ threads?\b"), "N threads"),
    (re.compile(r"\b(pc-i440fx|pc-q35)-\d+\.\d+"), r"\1-VERSION"),
    (re.compile(r"\b(fd|vhostfd|fds|vhostfds)=[\d:]+"), r"\1=N"),
    (re.compile(r"-\d{8}T\d{6}Z\b"), "-MOMENT"),
    (re.compile(r"/gnt-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/"), "/GROUP/"),
    # whether the kernel says of a peer that ended "broken pipe" or "reset" is chance
    (re.compile(r"(Unable to write to socket): .+"), r"\1: WHY"),
    # by then its process may have ended, or still be about to
    (re.compile(r"(the other side closed it); its process PID .*"), r"\1"),
    (re.compile(r"(monitor: process PID) \(\S+\)"), r"\1 (COMMAND)"),
    (re.compile(r"\S+ \(\d+\) holds"), "COMMAND (PID) holds"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00"), "MOMENT"),
    (re.compile(r"^\d\d:\d\d:\d\d  guests", re.M), "CLOCK  guests"),
    (re.compile(r"^((?:Progress|Rate|Downtime): .*)", re.M), _without_numbers),
    (
        re.compile(r"^(ganeti_kvm_\w+_(?:seconds|seconds_total|rss_bytes)(?:\{.+\})?) .+", re.M),
        r"\1 N",
    ),
    (re.compile(r'(ganeti_kvm_build_info)\{version=".+"\}'), r'\1{version="VERSION"}'),
    (re.compile(r"load: \d+\.\d\d \d+\.\d\d \d+\.\d\d"), "load: LOAD"),
)
#: What a table has of these, by the titles of their columns, is another one each time.
_VARYING = {
    "PID": "PID",
    "Since": "TIME",
    "Uptime": "TIME",
    "QEMU": "VERSION",
    "Machine": "MACHINE",
    "Holder": "HOLDER",
    "CPU%": "CPU",
    "Resident": "RSS",
    "Process": "STATE",
}
_TABLE = re.compile(r"^(?:Name|Option) +[A-Z].*\n(?:.+\n)*", re.M)


def plain(text: str, run: Path) -> str:
    """The text without what is another one each time."""
    text = text.replace(str(run), "RUN").replace(str(run.parent.parent), "ROOT")
    for pattern, shown in _REPLACED:
        text = pattern.sub(shown, text)
    return text


def straight(text: str) -> str:
    """The text, the columns of its tables as wide as without what is another one each time."""
    return _TABLE.sub(lambda found: _straight(found[0].splitlines()), text)


def _straight(lines: list[str]) -> str:
    titles = lines[0].split()
    width = max(map(len, lines))
    padded = [line.ljust(width) for line in lines]
    gaps = [at for at in range(width) if all(line[at] == " " for line in padded)]
    # the last column may have spaces of its own; between two there is one alone
    edges = [-1, *gaps[: len(titles) - 1], width]
    columns = []
    for first, last in itertools.pairwise(edges):
        cells = [line[first + 1 : last] for line in padded]
        is_left = all(not cell.startswith(" ") for cell in cells)
        is_right = all(not cell.endswith(" ") for cell in cells)
        assert is_left or is_right, f"no straight column: {cells}"
        title, *values = (cell.strip() for cell in cells)
        shown = [title, *(_VARYING.get(title, one) if one != "-" else one for one in values)]
        wide = max(map(len, shown))
        columns.append([one.ljust(wide) if is_left else one.rjust(wide) for one in shown])
    assert [column[0].strip() for column in columns] == titles
    return "".join(" ".join(row).rstrip() + "\n" for row in zip(*columns, strict=True))


def transcript(done: subprocess.CompletedProcess[str], *words: str) -> str:
    """A call of the command, and what came of it, as a terminal shows it."""
    said = shlex.join(["ganeti-hv-kvm", *words])
    return f"$ {said}\n{straight(done.stdout)}{done.stderr}exit status {done.returncode}\n"


def check(name: str, text: str, run: Path) -> None:
    """Asserts that the text is the one in the file of this name."""
    told, file = plain(text, run), FOLDER / name
    if os.environ.get("GANETI_HV_KVM_WRITE_GOLDEN"):
        file.write_text(told, encoding="utf-8")
    assert told == file.read_text(encoding="utf-8")
