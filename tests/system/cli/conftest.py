"""The command, as an operator calls it, on a node of its own."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.the_command import COMMAND

AMPLE = 100

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

    def call(*words: str, **rest: object) -> subprocess.CompletedProcess[str]:
        argv = [*COMMAND, *words, "--run-dir", str(run)]
        return subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=AMPLE,
            check=False,
            **rest,  # type: ignore[call-overload]
        )

    return call
