"""Runs a scenario in a process and a sandbox of its own, and tells how it ended."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import node, paths

_RUNNER = Path(__file__).with_name("run.py")
_SANDBOX = paths.PROJECT / "tests/harness/sandbox"
# Each original that waits without an end is stopped here; a scenario's own limits are far below.
_TIMEOUT = 300.0


def outcome(generation: str, module: str, scenario: Callable[..., Any]) -> str:
    """ "held", or "fault: ..."; RuntimeError with all output if the scenario is broken."""
    file = scenario.__module__.rpartition(".")[2]
    command = [str(_SANDBOX), sys.executable, str(_RUNNER), generation, module, file]
    done = subprocess.run(
        [*command, scenario.__name__],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines or not lines[-1].startswith(("held", "fault: ")):
        raise RuntimeError(f"status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return lines[-1]


def scenarios(file: str) -> list[Callable[..., Any]]:
    """The scenarios of tests/oracle/scenarios/``file``.py, as they stand there."""
    module = importlib.import_module(f"oracle.scenarios.{file}")
    return [
        function
        for _, function in inspect.getmembers(module, inspect.isfunction)
        if hasattr(function, "generations")
    ]


def cases(file: str) -> list[Any]:
    """For pytest: each scenario with ours on both Ganetis, and with the originals that fail it.

    `make test` has the newest of those Ganetis alone.
    """
    return [
        pytest.param(
            scenario,
            generation,
            module,
            id=f"{scenario.__name__}-{generation}-{module}",
            marks=[] if generation == max(failing) else pytest.mark.thorough,
        )
        for scenario in scenarios(file)
        for failing in [scenario.generations]  # type: ignore[attr-defined]
        for generation in ("3.0", "3.1")
        for module in (node.ORIGINAL, node.OURS)
        if module == node.OURS or generation in failing
    ]
