"""Guests that migrate between two nodes: how fast, how they count, how they are removed."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

from . import console, two_nodes
from .closing import Closing
from .guest import KERNEL_ARGS

#: QEMU before 9.0 loses writes of an emulated guest from the second pass over its memory on. Where
#: the guest is to live on, there must be one pass, with the guest stopped for the rest.
ONE_PASS = {"migration_bandwidth": 1000, "migration_downtime": 2000}
SLOW = {"migration_bandwidth": 1}
_CRAWL = 1 << 16  # bytes a second
#: The guest prints a counter many times a second.
TICKS = {"kernel_args": f"{KERNEL_ARGS} guest.ticks"}
_TICK = "guest: tick"


def end(remote: two_nodes.RemoteNode, wanted: two_nodes.Wanted) -> None:
    """Whatever is left of the guest on a node is removed."""
    with contextlib.suppress(two_nodes.RemoteError):
        remote.call("StopInstance", wanted)
    remote.call("CleanupInstance", wanted)
    remote.call("ForgetDepartures")


def serial(remote: two_nodes.RemoteNode, wanted: two_nodes.Wanted) -> console.SerialConsole:
    return console.SerialConsole(remote.socket(wanted["name"], "serial"))


def next_tick(guest: console.SerialConsole, timeout: float = 60.0) -> int:
    """The guest's counter, as it says it next."""
    return int(guest.wait_for(lambda line: _TICK in line, timeout).rpartition(" ")[2])


class Ticks(Closing):
    """Writes down when each tick of a guest came, in a thread, until QEMU ends or ``close()``."""

    def __init__(self, remote: two_nodes.RemoteNode, wanted: two_nodes.Wanted) -> None:
        self.seen: list[tuple[float, int]] = []
        self._serial = serial(remote, wanted)
        self._count = 0  # of the console's lines that were looked at
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        # Several ticks may come as one piece, also with the end of the console.
        with contextlib.suppress(EOFError, OSError):
            while not self._closed.is_set():
                with contextlib.suppress(TimeoutError):
                    next_tick(self._serial, 0.5)
                self._write_down()
        self._write_down()

    def _write_down(self) -> None:
        now, new = time.monotonic(), self._serial.lines[self._count :]
        self._count += len(new)
        self.seen += [(now, int(line.rpartition(" ")[2])) for line in new if _TICK in line]

    @property
    def lines(self) -> list[str]:
        """All that the guest printed here, once this is closed."""
        return self._serial.lines

    @property
    def begun(self) -> str:
        """A line without an end, once this is closed."""
        return self._serial.begun

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        self._serial.close()


def counted(source: Ticks, target: Ticks) -> list[int]:
    """The numbers of all ticks, in their order.

    One that is being printed when the guest leaves comes half on one node and half on the other.
    """
    numbers = [number for _, number in source.seen]
    first = next(iter(target.lines), "")
    torn = source.begun + first
    if _TICK in torn and _TICK not in first:
        numbers.append(int(torn.rpartition(" ")[2]))
    return numbers + [number for _, number in target.seen]


def stood_still(source: Ticks, target: Ticks) -> float:
    """Seconds between the guest's last tick on one node and its first on the other."""
    return target.seen[0][0] - source.seen[-1][0]


def wait_until(is_so: Callable[[], object], timeout: float, what: str) -> None:
    """Polls; TimeoutError if it is not so within ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s for {what}")
        time.sleep(0.02)


def wait_for(remote: two_nodes.RemoteNode, name: str, state: str, timeout: float = 30.0) -> None:
    """Until QEMU says that the guest does this."""
    wait_until(lambda: remote.run_state(name) == state, timeout, f"{name} to be '{state}'")


def wait_for_status(
    remote: two_nodes.RemoteNode, name: str, status: str, timeout: float = 30.0
) -> None:
    """Until QEMU says that the migration is there."""
    wait_until(
        lambda: remote.qemu(name, "query-migrate").get("status") == status,
        timeout,
        f"the migration of {name} to be '{status}'",
    )


def hold(pair: two_nodes.Pair, wanted: two_nodes.Wanted) -> None:
    """Returns when memory is being sent, from then on so slowly that there is no end."""
    limit = {"max-bandwidth": _CRAWL}
    pair.source.qemu(wanted["name"], "migrate-set-parameters", **limit)
    wait_for_status(pair.source, wanted["name"], "active")


def wait_for_end(pid: int, timeout: float = 30.0) -> None:
    """Until the process is gone."""
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), timeout, f"the end of process {pid}")


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process answers nobody meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # it was killed
            os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def later(seconds: float, action: Callable[..., object], *arguments: object) -> Iterator[None]:
    """Does it in so many seconds, in a thread; it is done when this is left."""
    timer = threading.Timer(seconds, action, arguments)
    timer.start()
    try:
        yield
    finally:
        timer.join()
