"""The command, as an operator calls it, on a node of its own."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from harness.the_command import call

# what others make for their tests is made for the command in the same way
from system.activation.conftest import installed, venv  # noqa: F401
from system.options.conftest import configured  # noqa: F401

Called = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run() -> Iterator[Path]:
    """The run directory of a node; a short path, for sockets lie below it."""
    with tempfile.TemporaryDirectory(prefix="gnt-") as folder:
        made = Path(folder) / "ganeti/kvm-hypervisor"
        for name in ("pid", "ctrl", "conf", "nic"):
            (made / name).mkdir(parents=True)
        yield made


@pytest.fixture
def command(run: Path) -> Called:
    """Call the command for that node."""
    return partial(call, run)
