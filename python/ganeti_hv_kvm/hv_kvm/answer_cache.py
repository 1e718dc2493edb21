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
from typing import Any

from ganeti import errors, pathutils, utils

_FORMAT = 1

#: A script names what it runs in its first few lines; a binary is not searched.
_SCRIPT_BYTES = 1 << 16
_WORD = rb"[\w./+-]*qemu[\w./+-]*|/[\w./+-]+"

Identity = list[list[Any]]


def directory() -> str:
    """Where the files lie; made when first needed, for root alone."""
    return str(pathutils.RUN_DIR) + "/ganeti-hv-kvm"


def identity(path: str) -> Identity | None:
    """Tell a binary from every other one that may lie at its place: device, inode, size, mtime.

    A script that runs QEMU stays the same when QEMU is upgraded, so the programs that it names
    count too. None if the file cannot be looked at: then nothing is kept.
    """
    try:
        return [_stat(name) for name in (path, *_programs_of(path))]
    except OSError:
        return None


def _stat(path: str) -> list[Any]:
    status = os.stat(path)
    return [path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns]


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
        with open(_file(path), encoding="utf-8") as stored:
            # Ganeti's run directory may belong to a user of its own; only root's word counts here
            if os.fstat(stored.fileno()).st_uid != os.geteuid():
                return {}
            content = json.load(stored)
        if content["format"] != _FORMAT or content["identity"] != known:
            return {}
        answers = content["answers"]
        return {key: text for key, text in answers.items() if isinstance(text, str)}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


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
