"""The file that a key of one migration is in, for as long as QEMU needs it.

QEMU reads keys from a folder by name, as the user and in the root folder that it has by then. The
folder is made for one migration, and is QEMU's alone (mode 0700, the file 0600).
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import NamedTuple

from ganeti import errors

#: QEMU's name for it (qapi: tls-creds-psk).
_FILE = "keys.psk"
#: What a key belongs to, where QEMU is not told another name.
_USER = "qemu"
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Owner(NamedTuple):
    """Who is to read the key, as numbers."""

    uid: int
    gid: int


def write(folder: str, key: str, owner: Owner) -> None:
    """Write a key, in place of whatever was there.

    Args:
        folder: to be made; what it lies in is there.
        key: hexadecimal.

    Raises:
        errors.HypervisorError: it cannot be written; nothing is left of it.
    """
    try:
        remove(folder)
        _let_through(os.path.dirname(folder), owner)
        os.mkdir(folder, mode=0o700)
        place = os.open(folder, _FOLDER_FLAGS)
        try:
            _write_file(place, f"{_USER}:{key}\n", owner)
            os.fchown(place, owner.uid, owner.gid)
        finally:
            os.close(place)
    except OSError as err:
        with contextlib.suppress(OSError):
            remove(folder)
        raise errors.HypervisorError(
            f"the migration's key cannot be written into {folder}: {err}"
        ) from err


def _write_file(place: int, text: str, owner: Owner) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(_FILE, flags, 0o600, dir_fd=place), "w", encoding="utf-8") as file:
        os.fchown(file.fileno(), owner.uid, owner.gid)
        file.write(text)


def _let_through(parent: str, owner: Owner) -> None:
    """Let QEMU's user reach what lies in its chroot, which is root's alone otherwise."""
    mode = os.stat(parent).st_mode
    if owner.uid and not mode & stat.S_IXOTH:
        os.chown(parent, -1, owner.gid)
        os.chmod(parent, stat.S_IMODE(mode) | stat.S_IXGRP)


def remove(folder: str) -> None:
    """Remove the key and its folder, if they are there.

    The folder was QEMU's: what else it put there stays, for a person to see.

    Raises:
        OSError: the key may still be there.
    """
    try:
        place = os.open(folder, _FOLDER_FLAGS)
    except FileNotFoundError:
        return
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_FILE, dir_fd=place)
    finally:
        os.close(place)
    os.rmdir(folder)
