"""`make test`: runs the given make targets, then sums up.

usage: check_all.py TARGET... [--together TARGET...]

The first run one after the other, those after `--together` four at a time: they wait for guests
more than they compute, and each has namespaces of its own. All of them run, also after one has
failed: a summary tells which, how long each took, how many tests passed, and every skip with its
reason. The exit status is 0 only if all passed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as xml
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from paths import WORK

_REPORTS = WORK / "reports"
_CARGO_RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", re.M)


@dataclass
class Counts:
    """Tests by what became of them; skips with their reasons."""

    passed: int = 0
    failed: int = 0
    skips: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Stage:
    """A make target that has run."""

    name: str
    seconds: float
    status: int
    counts: Counts


def run_stage(name: str, *, live: bool = True) -> Stage:
    """Runs one target; its output is shown as it comes, or in one piece at the end."""
    print(f"\n=== {name}" if live else f"=== {name} begins", flush=True)
    start = time.monotonic()
    command = [os.environ.get("MAKE", "make"), name]
    output = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            output.append(line)
            if live:
                print(line, end="", flush=True)
    seconds = time.monotonic() - start
    text = "".join(output)
    shown = "" if live else f"\n=== {name}\n{text}"
    result = "passed" if process.returncode == 0 else "FAILED"
    print(f"{shown}=== {name}: {result} after {seconds:.1f} s", flush=True)
    return Stage(name, seconds, process.returncode, _count(name, text))


def run_together(names: Sequence[str]) -> list[Stage]:
    """Runs targets four at a time, in the order given; their results in the same order."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(lambda name: run_stage(name, live=False), names))


def _count(stage: str, output: str) -> Counts:
    counts = Counts()
    for passed, failed, ignored in _CARGO_RESULT.findall(output):
        counts.passed += int(passed)
        counts.failed += int(failed)
        counts.skips += [f"{stage}: ignored by cargo test"] * int(ignored)
    for report in sorted(_REPORTS.glob(f"{stage}*.xml")):
        for case in xml.parse(report).iter("testcase"):
            _count_case(case, counts)
    return counts


def _count_case(case: xml.Element, counts: Counts) -> None:
    if (skip := case.find("skipped")) is not None:
        name = f"{case.get('classname')}.{case.get('name')}"
        counts.skips.append(f"{name}: {skip.get('message')}")
    elif case.find("failure") is not None or case.find("error") is not None:
        counts.failed += 1
    else:
        counts.passed += 1


def summary(stages: Sequence[Stage], seconds: float) -> str:
    """The table, and below it each skip; ``seconds`` is what all of it took."""
    lines = ["", f"{'stage':20}{'result':10}{'seconds':>8}{'passed':>8}{'failed':>8}{'skipped':>8}"]
    for stage in stages:
        counts = stage.counts
        numbers = f"{counts.passed:8}{counts.failed:8}{len(counts.skips):8}"
        result = "passed" if stage.status == 0 else "FAILED"
        lines.append(f"{stage.name:20}{result:10}{stage.seconds:8.1f}{numbers}")
    skips = [skip for stage in stages for skip in stage.counts.skips]
    passed = sum(stage.counts.passed for stage in stages)
    failed = sum(stage.counts.failed for stage in stages)
    totals = f"{seconds:8.1f}{passed:8}{failed:8}{len(skips):8}"
    result = "passed" if all(stage.status == 0 for stage in stages) else "FAILED"
    lines.append(f"{'all':20}{result:10}{totals}")
    lines += ["", f"skipped: {len(skips)}", *(f"  {skip}" for skip in skips)]
    return "\n".join(lines)


def main(names: Sequence[str]) -> int:
    shutil.rmtree(_REPORTS, ignore_errors=True)
    _REPORTS.mkdir(parents=True)
    start = time.monotonic()
    cut = names.index("--together") if "--together" in names else len(names)
    stages = [run_stage(name) for name in names[:cut]] + run_together(names[cut + 1 :])
    print(summary(stages, time.monotonic() - start))
    return 0 if all(stage.status == 0 for stage in stages) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
