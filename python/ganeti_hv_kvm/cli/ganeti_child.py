"""Questions that only Ganeti's code can answer, asked in a child with a time limit.

Importing Ganeti may hang (its files, its configuration), and may fail; the command goes on without.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from ganeti_hv_kvm.cli import interpreter
from ganeti_hv_kvm.cli.interpreter import AskError, Runtime


class Words(TypedDict, total=False):
    """A command line, or why there is none."""

    command: list[str]
    error: str


Setting = TypedDict("Setting", {"name": str, "value": object, "unit": str, "from": str})
"""A setting as it holds; it is from a variable, a file, or "default"."""


class Settings(TypedDict):
    """All settings, and what is wrong with them."""

    settings: list[Setting]
    problems: list[str]


class Row(TypedDict):
    """An option; "-" is for none, and an empty change for none to come."""

    name: str
    wanted: str
    in_force: str
    change: str


class Told(TypedDict, total=False):
    """The options of one guest: rows and problems, or an error.

    On a node without the cluster's configuration, which has the tags, the error says so too.
    """

    rows: list[Row]
    problems: list[str]
    error: str
    no_configuration: bool


_PREFIX = "GANETI_HV_KVM_"


def todays_command(ganeti: Path | None, name: str, seconds: float) -> dict[str, Words]:
    """Give the command lines that a reboot and a cold start of an instance would give now.

    Returns:
        ``{"reboot": {...}, "start": {...}}``, each with "command", or "error" which says why not.

    Raises:
        AskError: Ganeti cannot be asked.
    """
    told: dict[str, Words] = _ask(ganeti, seconds, {}, "command", name)
    return told


def settings(ganeti: Path | None, environment: Mapping[str, str], seconds: float) -> Settings:
    """Give the settings as they hold for a program with this environment.

    Returns:
        ``{"settings": [{"name", "value", "unit", "from"}...], "problems": [text...]}``

    Raises:
        AskError: Ganeti cannot be asked.
    """
    ours = {name: text for name, text in environment.items() if name.startswith(_PREFIX)}
    told: Settings = _ask(ganeti, seconds, ours, "settings")
    return told


def data_directory(ganeti: Path | None, seconds: float) -> Path:
    """Give the directory of what Ganeti keeps over a reboot of the node.

    Raises:
        AskError: Ganeti cannot be asked.
    """
    return Path(_ask(ganeti, seconds, {}, "directories")["data"])


def options(
    ganeti: Path | None,
    names: Sequence[str],
    seconds: float,
    *,
    is_dry: bool = True,
    tags: str | None = None,
) -> dict[str, Told]:
    """Give the options of guests that run here by their tags; unless ``is_dry``, apply them first.

    Args:
        ganeti: the directory of Ganeti's code; None for that of ganeti-noded.
        names: full ones.
        seconds: for all of them.
        is_dry: change nothing.
        tags: of the instance, with commas between; None for those of the cluster's configuration.

    Returns:
        By name ``{"rows": [{"name", "wanted", "in_force", "change"}...], "problems": [text...]}``,
        or "error", with "no_configuration" on a node that does not know the tags.

    Raises:
        AskError: Ganeti cannot be asked.
    """
    how = "dry" if is_dry else "wet"
    words = (how, "-" if tags is None else tags, *names)
    told: dict[str, Told] = _ask(ganeti, seconds, {}, "options", *words)
    return told


def _ask(ganeti: Path | None, seconds: float, environment: Mapping[str, str], *words: str) -> Any:
    runtime = interpreter.find_runtime(ganeti)
    # This Python has the package; Ganeti's may not, before `enable`.
    here = Runtime(sys.executable, runtime.ganeti_directory)
    kept = {
        name: text for name, text in os.environ.items() if not name.startswith(("PYTHON", _PREFIX))
    }
    told = interpreter.run(
        here, "with_ganeti.py", words, {**kept, **environment}, seconds, wanted=_is_answer
    )
    if "error" in told:
        raise AskError(told["error"])
    return told["answer"]


def _is_answer(told: Mapping[str, object]) -> bool:
    return "answer" in told or isinstance(told.get("error"), str)
