"""Which of a test's cases `make test` has; the others wait for `make test-thorough`."""

from __future__ import annotations

import zlib


def chosen(test: str, cases: int, every: int) -> range:
    """One case in ``every`` of a test that has so many, and one at least.

    Others for each test, so that what is chosen is not QEMU 7.2 everywhere; the same in each run.
    """
    every = min(every, cases)
    return range(zlib.crc32(test.encode()) % every, cases, every)
