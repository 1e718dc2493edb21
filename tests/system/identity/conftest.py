"""Guests whose processes and files are made to look like anything but what they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness import idle_guests
from harness.idle_guests import IdleGuest


@pytest.fixture
def start(hypervisor) -> Iterator[Callable[..., list[IdleGuest]]]:
    """A function that starts real QEMUs at the place of instances."""
    with ExitStack() as stack:

        def begin(count: int = 1, **options: object) -> list[IdleGuest]:
            folder = Path(type(hypervisor)._ROOT_DIR)
            return stack.enter_context(idle_guests.running(folder, count, **options))

        yield begin


@pytest.fixture
def listed(hypervisor) -> Callable[[], list[str]]:
    """A function that names what both listings name: they agree."""

    def names() -> list[str]:
        infos = sorted(info[0] for info in hypervisor.GetAllInstancesInfo())
        assert sorted(hypervisor.ListInstances()) == infos
        return infos

    return names
