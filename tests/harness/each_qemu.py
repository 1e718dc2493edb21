"""Tests that run once with each QEMU that there is."""

from __future__ import annotations

from typing import Any

import pytest

from . import paths


def each_qemu(
    argument: str = "qemu", *, indirect: bool = True, old: Any = (), new: Any = ()
) -> pytest.MarkDecorator:
    """Gives a test the path of QEMU 7.2 as its ``argument``, then that of QEMU 10.

    Args:
        indirect: the argument is a fixture.
        old, new: marks for the one or the other.
    """
    both = [
        pytest.param(str(paths.QEMU), marks=old, id="QEMU 7.2"),
        pytest.param(str(paths.QEMU_10), marks=new, id="QEMU 10"),
    ]
    return pytest.mark.parametrize(argument, both, indirect=indirect)


EACH_QEMU = each_qemu()
