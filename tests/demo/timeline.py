"""Prints each step with when it began and how long it took, and a dot a second while it lasts."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_WIDTH = 46
_DOT_EVERY = 1.0


class Timeline:
    """Plain text, complete lines at the end of each step: fit to be read live and to be kept."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """One step; the texts appended to the list are printed below it, also when it fails."""
        start = time.monotonic()
        details: list[str] = []
        _write(f"{start - self._began:7.2f} s  {name} ")
        dots = _Dots()
        outcome = "FAILED"
        try:
            yield details
            outcome = f"{time.monotonic() - start:.2f} s"
        finally:
            printed = dots.stop()
            _write("." * max(_WIDTH - len(name) - printed, 3) + f" {outcome}\n")
            for detail in details:
                _write(f"{'':11}{detail}\n")

    def total(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began


class _Dots:
    """Prints a dot now and then until it is stopped."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._printed = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._done.wait(_DOT_EVERY):
            _write(".")
            self._printed += 1

    def stop(self) -> int:
        """Ends it; the number of dots that were printed."""
        self._done.set()
        self._thread.join()
        return self._printed


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
