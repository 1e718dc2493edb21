"""A process that is one subject: python -m bench.worker SUBJECT RUN_FOLDER.

Reads tasks as lines of JSON, {"task": name, ...its arguments}, and answers each by a line: a list
of samples {"seconds": ..., "cpu": ...}, or {"error": text}. RUN_FOLDER ("" for its own) is where
Ganeti's modules look for guests.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import node

from . import clients, tasks

MODULES = {
    clients.OURS: ("3.0", node.OURS),
    clients.OURS_INNER: ("3.0", node.OURS),
    clients.GANETI["3.0"]: ("3.0", node.ORIGINAL),
    clients.GANETI["3.1"]: ("3.1", node.ORIGINAL),
}


def _become(subject: str, run_folder: str) -> node.Node | None:
    if subject not in MODULES:
        return None
    made = node.make_node(*MODULES[subject])
    if run_folder:
        made.run_folder.symlink_to(run_folder)
    return made


def _perform(subject: str, request: dict[str, Any]) -> Any:
    task: Callable[..., Any] = getattr(tasks, request.pop("task"))
    gc.collect()
    try:
        return task(subject, **request)
    except Exception as err:
        if os.environ.get("BENCH_DEBUG"):
            raise
        return {"error": f"{type(err).__name__}: {err}"}


def main() -> None:
    subject, run_folder = sys.argv[1:]
    # what a subject prints must not get among the answers
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    made = _become(subject, run_folder)
    try:
        for line in sys.stdin:
            answers.write(json.dumps(_perform(subject, json.loads(line))) + "\n")
    finally:
        if made:
            if made.run_folder.is_symlink():
                Path(made.run_folder).unlink()
            made.remove()


if __name__ == "__main__":
    main()
