"""CPUs that do not sleep while something is measured, and who has which."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_SPIN = """
import os, sys
os.sched_setaffinity(0, [int(sys.argv[1])])
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""


@contextmanager
def kept() -> Iterator[None]:
    """A loop on each CPU, in the class that runs only where nobody else wants to.

    A node full of guests is never idle. On an idle virtual machine waking a CPU takes as long as
    all the rest of a short call (measured: 245 µs for query-status, 133 with this), and differs
    from one minute to the next: figures then say little of who called.
    """
    with ExitStack() as stack:
        for cpu in os.sched_getaffinity(0):
            spinner = subprocess.Popen([sys.executable, "-c", _SPIN, str(cpu)])
            stack.callback(spinner.wait)
            stack.callback(spinner.kill)
        yield


@contextmanager
def one_for_all() -> Iterator[None]:
    """Who is started meanwhile has one and the same CPU.

    Of a client and a QEMU that take turns one always waits. On two CPUs most of what is measured
    is how one wakes the other, and in which of two ways that happens is luck: the CPU time of the
    same bare loop was 11 µs in one round and 29 in the next. On one it differs by a hundredth.
    """
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cpus)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cpus)
