"""The options of guests by their instances' tags, as a process with Ganeti tells them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ganeti_hv_kvm.cli.frame import output
from ganeti_hv_kvm.cli.frame.failure import CommandError
from ganeti_hv_kvm.cli.interpreter import find_runtime

_TIMEOUT = 60.0

#: In the error of a node that does not have the cluster's configuration.
NO_CONFIGURATION = "only master candidates know the tags"

#: For one guest "rows" (name, wanted, in_force, change) and "problems", or an "error".
Told = dict[str, Any]


def ask(
    names: Sequence[str],
    *,
    is_dry: bool = True,
    tags: str | None = None,
    ganeti: Path | None = None,
    seconds: float = _TIMEOUT,
) -> dict[str, Told]:
    """Tell the options of guests that run here, and unless ``is_dry`` apply them first.

    Args:
        names: full ones.
        tags: of the instance, with commas between; None for those of the cluster's configuration.
        ganeti: the directory of Ganeti's code; None for that of ganeti-noded.
        seconds: for all of them.

    Raises:
        CommandError: nothing was told.
    """
    code = find_runtime(ganeti).ganeti_directory
    child = Path(__file__).with_name("apply_child.py")
    how = "dry" if is_dry else "wet"
    argv = [sys.executable, str(child), str(code or ""), how, "-" if tags is None else tags, *names]
    about = ", ".join(names)
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as err:
        raise CommandError(
            f"{about}: nothing was heard of its options within {seconds:g} s; see 'ganeti-hv-kvm"
            " list'"
        ) from err
    try:
        answer: dict[str, Told] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as err:
        last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        raise CommandError(f"{about}: {output.quoted(last)}") from err
    return answer


def _short(value: str) -> str:
    return "none" if value == "-" else value


def in_short(told: Told) -> list[str]:
    """Give a guest's options in short: ``rng=on``; ``disk-iops=500->300``, with what is to come."""
    if "error" in told:
        return [f"? ({told['error']})"]
    rows = [
        f"{row['name']}={_short(row['in_force'])}"
        + (f"->{_short(row['wanted'])}" if row["change"] else "")
        for row in told["rows"]
    ]
    return rows + [f"wrong: {problem}" for problem in told["problems"]]
