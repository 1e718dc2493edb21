"""Work that may hang in the kernel, given up after some seconds.

Reading ``/proc/PID/cmdline``, a path on a dead NFS server, or a program may take for ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class OutOfPatienceError(Exception):
    """It did not end in time; it goes on in a thread that nobody waits for."""


def within(seconds: float, work: Callable[[], T]) -> T:
    """Give what the work gives; what it raises is raised.

    Raises:
        OutOfPatienceError: it takes longer.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def carry_out() -> None:
        try:
            results.append(work())
        except BaseException as err:
            errors.append(err)

    # A daemon: Python does not wait for it at its end.
    thread = threading.Thread(target=carry_out, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise OutOfPatienceError(f"no answer within {seconds:g} s")
    return results[0]
