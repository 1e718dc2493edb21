"""What a command said, beside what it is to say: process ids, times, versions and folders aside.

GANETI_HV_KVM_WRITE_GOLDEN=1 writes the files instead.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

from . import paths

FOLDER = paths.PROJECT / "tests/data/cli"
_REPLACED = (
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
)


def plain(text: str, run: Path) -> str:
    """The text without what is another one each time."""
    text = text.replace(str(run), "RUN").replace(str(run.parent.parent), "ROOT")
    for pattern, shown in _REPLACED:
        text = pattern.sub(shown, text)
    return text


def transcript(done: subprocess.CompletedProcess[str], *words: str) -> str:
    """A call of the command, and what came of it, as a terminal shows it."""
    said = shlex.join(["ganeti-hv-kvm", *words])
    return f"$ {said}\n{done.stdout}{done.stderr}exit status {done.returncode}\n"


def check(name: str, text: str, run: Path) -> None:
    """Asserts that the text is the one in the file of this name."""
    told, file = plain(text, run), FOLDER / name
    if os.environ.get("GANETI_HV_KVM_WRITE_GOLDEN"):
        file.write_text(told)
    assert told == file.read_text()
