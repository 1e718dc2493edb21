"""Work that may hang is given up."""

from __future__ import annotations

import threading

import pytest

from ganeti_hv_kvm.cli.node import patience


def test_what_it_gives_and_raises():
    assert patience.within(60, lambda: None) is None
    with pytest.raises(ZeroDivisionError):
        patience.within(60, lambda: 1 // 0)


def test_given_up():
    released = threading.Event()
    with pytest.raises(patience.OutOfPatienceError, match=r"no answer within 0\.01 s"):
        patience.within(0.01, released.wait)
    released.set()
