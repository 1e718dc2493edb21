"""Workers, and fair turns among them."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from harness import paths

from .results import Series

Sample = dict[str, float]


class Worker:
    """A process that is one subject."""

    def __init__(self, subject: str, run_folder: Path | None) -> None:
        self.subject = subject
        argv = [sys.executable, "-m", "bench.worker", subject, str(run_folder or "")]
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(paths.WORK / "bench.log").open("a"),
            text=True,
            bufsize=1,
        )

    def ask(self, request: dict[str, Any]) -> list[Sample]:
        """What a task measured; RuntimeError if it failed."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"error": "it ended; see .work/bench.log"}
        if isinstance(answer, dict):
            raise RuntimeError(f"{self.subject}, {request['task']}: {answer['error']}")
        return list(answer)

    def end(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


class Role:
    """One of several subjects that share a worker: they meet the same heap and the same modules."""

    def __init__(self, worker: Worker, subject: str) -> None:
        self.subject = subject
        self._worker = worker

    def ask(self, request: dict[str, Any]) -> list[Sample]:
        return self._worker.ask({**request, "role": self.subject})


@contextmanager
def workers(subjects: Iterable[str], run_folder: Path | None = None) -> Iterator[list[Worker]]:
    """A process for each subject; all end with the block."""
    made = [Worker(subject, run_folder) for subject in subjects]
    try:
        yield made
    finally:
        for worker in made:
            worker.end()


def compare(
    pool: Iterable[Worker | Role],
    request: dict[str, Any] | Callable[[str], dict[str, Any]],
    rounds: int,
) -> Series:
    """Lets each worker do the same in each round, in an order of its own.

    Whatever the machine does meanwhile meets all of them: ratios are taken within a round.
    """
    order = list(pool)
    series = Series()
    for _ in range(rounds):
        random.shuffle(order)
        for worker in order:
            wanted = request(worker.subject) if callable(request) else request
            samples = worker.ask(wanted)
            for measure in ("seconds", "cpu"):
                series.add(worker.subject, measure, median(s[measure] for s in samples))
    return series
