"""Puts the same requests to the original and to our module."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import paths

GENERATIONS = tuple(paths.GANETI_CODE)
_DRIVER = Path(__file__).with_name("one_module.py")
Request = tuple[str, list[Any]]
Answer = dict[str, Any]


def ask(generation: str, side: str, requests: Sequence[Request]) -> list[Answer]:
    """The answers of the module on this side: "original" or "ours"."""
    code = paths.GANETI_CODE[generation]
    assert (code / "ganeti").is_dir(), f"Ganeti {generation} is not in {code}; run `make setup`"
    done = subprocess.run(
        ["/usr/bin/python3", str(_DRIVER), str(code), side],
        input=json.dumps([("facts", []), *requests]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    about, *answers = json.loads(done.stdout)
    assert about["result"]["module"].startswith("ganeti_hv_kvm.") == (side == "ours")
    return answers


def facts(generation: str) -> dict[str, Any]:
    """What this Ganeti's constants say."""
    (answer,) = ask(generation, "original", [("facts", [])])
    found: dict[str, Any] = answer["result"]
    return found


def compare(generation: str, requests: Sequence[Request]) -> list[tuple[Request, Answer, Answer]]:
    """Each request with the original's answer and ours."""
    both = [ask(generation, side, requests) for side in ("original", "ours")]
    return list(zip(requests, *both, strict=True))


def outcome(answer: Answer) -> Any:
    """An answer without the words of its error."""
    return answer["error"] if "error" in answer else answer["result"]
