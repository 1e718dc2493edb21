"""Since when a guest is as it is: what the first look that saw it so has noted.

Neither the kernel nor QEMU tells when a process was stopped or a monitor taken. So each look at
all guests notes what it saw, below /run, and a later one tells how long that holds at least.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path

_FILE = "seen.json"
_MOST_BYTES = 4 << 20
_OTHERS_MAY_WRITE = 0o022
#: Seconds since the node's start that no node runs for.
_LATEST = 1 << 40


def note(run_directory: Path, seen: Mapping[str, str], *, are_all: bool) -> dict[str, float]:
    """Note what is seen of guests, and give the seconds for which that was seen before, by name.

    A guest that was never seen so has none. With ``are_all`` what was noted of others is forgotten.
    Where nothing can be kept (no room, not root), nothing is known next time.
    """
    path = run_directory.parent / "ganeti-hv-kvm" / _FILE
    known = _read(path)
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    kept = {} if are_all else dict(known)
    told = {}
    for name, what in seen.items():
        before = known.get(name)
        if before is not None and before[0] == what and before[1] <= now:
            told[name] = now - before[1]
            kept[name] = before
        else:
            kept[name] = (what, now)
    if kept != known:
        with contextlib.suppress(OSError):
            _write(path, kept)
    return told


def _read(path: Path) -> dict[str, tuple[str, float]]:
    """Give what was noted; nothing that somebody else may have written."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        with open(os.open(path, flags), "rb") as stored:
            status = os.fstat(stored.fileno())
            is_ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
            if not is_ours or status.st_mode & _OTHERS_MAY_WRITE or status.st_size > _MOST_BYTES:
                return {}
            content = json.loads(stored.read(_MOST_BYTES))
        return {
            str(name): (str(what), float(when))
            for name, (what, when) in content.items()
            if 0 <= when <= _LATEST  # what is larger may have no float
        }
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _write(path: Path, content: Mapping[str, tuple[str, float]]) -> None:
    with contextlib.suppress(FileExistsError):
        path.parent.mkdir(mode=0o700)
    import tempfile  # dear, and only for what has changed

    descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{_FILE}-")
    try:
        with open(descriptor, "w", encoding="utf-8") as stream:
            json.dump(content, stream)
        os.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise
