"""Room for an instance's files on /run, looked for before a guest that runs is asked to go."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ganeti import errors

#: Bytes that a start may need: pid file, runtime file, NIC files.
_ROOM = 1 << 18


def check(directories: Iterable[str]) -> None:
    """Find out whether files can be made in these directories.

    Raises:
        errors.HypervisorError: every directory in which they cannot, and why.
    """
    problems = [problem for one in directories if (problem := _why_not(one))]
    if problems:
        raise errors.HypervisorError("; ".join(problems))


def _why_not(directory: str) -> str | None:
    try:
        room = os.statvfs(directory)
    except OSError as err:
        return str(err)
    if room.f_flag & os.ST_RDONLY:
        return f"{directory} is on a read-only file system"
    if not os.access(directory, os.W_OK | os.X_OK):
        return f"no files can be made in {directory}"
    # Some file systems have no numbers to give.
    if room.f_blocks and room.f_bavail * room.f_frsize < _ROOM:
        return f"the file system of {directory} is full"
    if room.f_files and not room.f_favail:
        return f"the file system of {directory} has no room for another file (inodes)"
    return None
