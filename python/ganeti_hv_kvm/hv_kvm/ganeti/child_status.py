"""Whether this process is told how its children end.

Where SIGCHLD is ignored the kernel tells nobody: Python then takes every command for a success, a
network script that failed as well as a QEMU that was killed while it told what it can do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator

from ganeti import errors

#: Seconds between two looks.
_LOOK = 0.01


def is_told() -> bool:
    """Tell whether the exit status of a command means anything."""
    return signal.getsignal(signal.SIGCHLD) is not signal.SIG_IGN


@contextlib.contextmanager
def told(needed: bool) -> Iterator[None]:
    """Be told of the children of this ``with``.

    Args:
        needed: without it, nothing is to be begun.

    Raises:
        errors.HypervisorError: SIGCHLD is ignored, and a thread cannot change that.
    """
    if is_told():
        yield
    elif threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            yield
        finally:
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    elif needed:
        raise errors.HypervisorError(
            "this process ignores SIGCHLD, so it would not learn whether a command failed; nothing"
            " was begun"
        )
    else:
        yield


def wait_for_end(pid: int, seconds: float) -> bool:
    """Wait for a child of this process that nobody else waits for any more.

    Returns:
        Whether it has ended.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            if os.waitpid(pid, os.WNOHANG)[0]:
                return True
        except ChildProcessError:  # somebody has reaped it
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK)
