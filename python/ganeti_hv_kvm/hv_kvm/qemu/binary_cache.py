"""What a QEMU binary said of itself, kept on disk for as long as the binary stays the same.

Asking QEMU takes 15 to 30 ms a question, and each request of Ganeti's runs in a process of its
own. The answers lie below Ganeti's run directory, which is emptied at each reboot of the node.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import stat

from ganeti import errors, pathutils, utils

_FORMAT = 2

#: The answers of a QEMU have some 100 KiB.
_MOST_BYTES = 4 << 20
_OTHERS_MAY_WRITE = 0o022

#: A script names what it runs in its first few lines; a binary is not searched.
_SCRIPT_BYTES = 1 << 16
_WORD = rb"[\w./+-]*qemu[\w./+-]*|/[\w./+-]+"

Identity = list[list[object]]


def directory() -> str:
    """Where the files lie; made when first needed, for root alone."""
    return str(pathutils.RUN_DIR) + "/ganeti-hv-kvm"


def identity(path: str) -> Identity | None:
    """Tell a binary from every other one that may lie at its place: device, inode, size, times.

    A script that runs QEMU stays the same when QEMU is upgraded, so the programs that it names
    count too. None if the file cannot be looked at: then nothing is kept.
    """
    try:
        return [_stat(name) for name in (path, *_programs_of(path))]
    except OSError:
        return None


def _stat(path: str) -> list[object]:
    status = os.stat(path)
    # what is overwritten in place may keep its time of modification, not that of its change
    times = (status.st_mtime_ns, status.st_ctime_ns)
    return [path, status.st_dev, status.st_ino, status.st_size, *times]


def _programs_of(path: str) -> list[str]:
    with open(path, "rb") as program:
        if program.read(2) != b"#!":
            return []
        text = program.read(_SCRIPT_BYTES)
    words = {word.decode() for word in re.findall(_WORD, text)}
    return sorted(filter(None, map(shutil.which, words)))


def _file(path: str) -> str:
    return f"{directory()}/qemu-{hashlib.sha256(path.encode()).hexdigest()[:16]}.json"


def load(path: str, known: Identity) -> dict[str, str]:
    """Give the answers of the binary at ``path``, by question; a damaged file holds none."""
    try:
        content = json.loads(_read(_file(path)))
        if content["format"] != _FORMAT or content["identity"] != known:
            return {}
        answers = content["answers"]
        return {key: text for key, text in answers.items() if isinstance(text, str) and text}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _read(name: str) -> bytes:
    """Read a file that nobody else can have written: its answers decide what root runs.

    Ganeti's run directory may belong to a user of its own. What lies there may be no file at all:
    a FIFO would hold the caller for ever.
    """
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb") as stored:
        status = os.fstat(descriptor)
        is_ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
        if not is_ours or status.st_mode & _OTHERS_MAY_WRITE or status.st_size > _MOST_BYTES:
            raise ValueError(f"{name} is not to be believed")
        return stored.read(_MOST_BYTES)


def store(path: str, known: Identity, question: str, answer: str) -> None:
    """Keep one more answer. Where that cannot be done, QEMU is asked again another time.

    Of two processes that store at once one may lose its answer; the file is whole at any time.
    """
    answers = load(path, known) | {question: answer}
    content = {"format": _FORMAT, "identity": known, "answers": answers}
    with contextlib.suppress(FileExistsError, OSError):
        os.mkdir(directory(), 0o700)
    try:
        utils.WriteFile(_file(path), data=json.dumps(content), mode=0o600)
    except (OSError, errors.GenericError) as err:
        logging.debug("What %s says of itself cannot be kept: %s", path, err)
