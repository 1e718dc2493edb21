"""Whether this process is told how its children end.

Where SIGCHLD is ignored the kernel tells nobody: Python then takes every command for a success, a
network script that failed as well as a QEMU that was killed while it told what it can do.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

from ganeti import errors


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
