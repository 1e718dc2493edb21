"""Questions that only Ganeti's code can answer, asked in a child with a time limit.

Importing Ganeti may hang (its files, its configuration), and may fail; the command goes on without.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganeti_hv_kvm.cli import interpreter
from ganeti_hv_kvm.cli.interpreter import Runtime

_PREFIX = "GANETI_HV_KVM_"


def todays_command(ganeti: Path | None, name: str, seconds: float) -> dict[str, Any]:
    """Give the command lines that a reboot and a cold start of an instance would give now.

    Returns:
        ``{"reboot": {...}, "start": {...}}``, each with "command", or "error" which says why not.

    Raises:
        AskError: Ganeti cannot be asked.
    """
    return _ask(ganeti, seconds, {}, "command", name)


def settings(ganeti: Path | None, environment: Mapping[str, str], seconds: float) -> dict[str, Any]:
    """Give the settings as they hold for a program with this environment.

    Returns:
        ``{"settings": [{"name", "value", "unit", "from"}...], "problems": [text...]}``

    Raises:
        AskError: Ganeti cannot be asked.
    """
    ours = {name: text for name, text in environment.items() if name.startswith(_PREFIX)}
    return _ask(ganeti, seconds, ours, "settings")


def _ask(
    ganeti: Path | None, seconds: float, environment: Mapping[str, str], *words: str
) -> dict[str, Any]:
    runtime = interpreter.find_runtime(ganeti)
    # This Python has the package; Ganeti's may not, before `enable`.
    here = Runtime(sys.executable, runtime.ganeti_directory)
    kept = {
        name: text for name, text in os.environ.items() if not name.startswith(("PYTHON", _PREFIX))
    }
    return interpreter.run(here, "with_ganeti.py", words, {**kept, **environment}, seconds)
