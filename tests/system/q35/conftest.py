"""Guests of machine type q35, each Ganeti with the QEMU of its own Debian."""

from __future__ import annotations

import pytest

from system.hotplug.conftest import make_running, running
from system.hotplug.running import QEMU
from system.hotplug.test_models import with_parameter
from system.migration.conftest import generation, make, nodes
from system.test_display import an_address_of_the_network

__all__ = [
    "an_address_of_the_network",
    "generation",
    "make",
    "make_running",
    "nodes",
    "running",
    "with_parameter",
]


@pytest.fixture(scope="module")
def qemu() -> str:
    return str(QEMU)
