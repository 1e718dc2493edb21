"""Runs the cases through both modules, each Ganeti and QEMU once for all tests."""

from __future__ import annotations

import functools
import json
import subprocess
from pathlib import Path
from typing import Any

from contract.command_line import cases, differences
from harness import paths

DRIVER = Path(__file__).with_name("driver.py")
SYSTEM_PYTHON = "/usr/bin/python3"
GANETIS = ("3.0", "3.1")
QEMUS = ("7.2", "10.0")
MIXTURES = 200

Row = tuple[cases.Case, Any, Any]
"""A case, the original's result, ours."""


def drive(ganeti: str, *arguments: str, given: Any = None) -> Any:
    """Runs the driver with one Ganeti; fails if that is not installed."""
    code = paths.GANETI_CODE[ganeti]
    assert (code / "ganeti").is_dir(), f"Ganeti {ganeti} is not in {code}; run `make setup`"
    done = subprocess.run(
        [SYSTEM_PYTHON, str(DRIVER), str(code), *arguments],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def answers(qemu: str) -> str:
    """The folder with the recorded answers of a QEMU."""
    return str(paths.PROJECT / "tests/data/qemu" / qemu)


@functools.cache
def values(ganeti: str) -> dict[str, list[Any]]:
    """Each parameter with its values."""
    return cases.allowed_values(drive(ganeti, "describe"))


@functools.cache
def all_cases(ganeti: str) -> list[cases.Case]:
    """Every case for a Ganeti version."""
    return [
        *cases.each_value(values(ganeti)),
        *cases.with_devices(),
        *differences.special(ganeti),
        *cases.mixtures(values(ganeti), MIXTURES),
    ]


@functools.cache
def results(ganeti: str, qemu: str) -> list[Row]:
    """What both modules make of every case."""
    given = all_cases(ganeti)
    theirs = drive(ganeti, "original", answers(qemu), given=given)
    return list(zip(given, theirs, drive(ganeti, "ours", answers(qemu), given=given), strict=True))
