"""Many guests' lives in one process, as in a node daemon that runs for months: nothing grows.

SOAK_CYCLES says how many: 20 in `make test`, 1,000 in `make test-soak`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.only_3_0

CYCLES = int(os.environ.get("SOAK_CYCLES", "20"))
WARM_UP = 50 if CYCLES >= 100 else 10
SECONDS_A_CYCLE = 20  # a limit against a hang; it takes less than one
MEBIBYTE = 2**20
_PROGRAM = Path(__file__).with_name("cycles.py")


def growth(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What there is more of."""
    found = [
        f"{name}: {before[name]}, then {after[name]}"
        for name in ("descriptors", "threads", "children")
        if after[name] > before[name]
    ]
    if (more := memory_growth(before, after)) >= MEBIBYTE:
        found.append(f"memory: {more / MEBIBYTE:.1f} MiB more")
    for kind in ("interfaces", "files"):
        found += [f"{kind}: {name}" for name in sorted(set(after[kind]) - set(before[kind]))]
    return found


def memory_growth(before: dict[str, Any], after: dict[str, Any]) -> int:
    """Bytes; in a long run without its largest step: a leak takes many.

    Python makes a table that it keeps (of 2 MiB, seen after some 500 cycles) larger all at once.
    """
    total: int = after["memory"] - before["memory"]
    points = [before["memory"], *after.get("samples", []), after["memory"]]
    steps = [second - first for first, second in pairwise(points)]
    return total - max(0, *steps) if len(steps) > 10 else total


def test_a_leak_is_seen_and_one_step_is_none() -> None:
    start = 30 * MEBIBYTE
    leak = [start + number * MEBIBYTE // 10 for number in range(20)]
    assert memory_growth({"memory": start}, {"memory": leak[-1], "samples": leak}) > MEBIBYTE
    step = [start] * 10 + [start + 2 * MEBIBYTE] * 10
    assert memory_growth({"memory": start}, {"memory": step[-1], "samples": step}) == 0


def test_the_measure_sees_each_kind(tmp_path: Path) -> None:
    code = (
        f"import sys, os, json, threading, time; sys.path.insert(0, {str(_PROGRAM.parent)!r})\n"
        "from pathlib import Path; import cycles\n"
        f"folder = Path({str(tmp_path)!r}); print(json.dumps(cycles.held(folder)))\n"
        "(folder / 'left').touch(); kept = os.dup(0), bytearray(os.urandom(3 << 20))\n"
        "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "os.system('ip link add name soak0 type bridge; sleep 1 &')\n"
        "print(json.dumps(cycles.held(folder)))\n"
        "os.system('ip link delete soak0')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    before, after = map(json.loads, done.stdout.splitlines())
    told = growth(before, after)
    kinds = ["descriptors", "threads", "memory", "interfaces", "files"]
    assert [one.partition(":")[0] for one in told if "children" not in one] == kinds


@pytest.mark.timeout(60 + SECONDS_A_CYCLE * (WARM_UP + CYCLES))
def test_start_plug_list_stop(bridge: str, tmp_path: Path, record_property: Any) -> None:
    generation = os.environ.get("GANETI_UNDER_TEST", "3.0")
    arguments = [generation, str(WARM_UP), str(CYCLES), str(tmp_path)]
    done = subprocess.run(
        [sys.executable, str(_PROGRAM), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    before, after = map(json.loads, done.stdout.splitlines())
    figures = f"{CYCLES} cycles after {WARM_UP}: " + ", ".join(
        f"{name} {count(before[name])} and then {count(after[name])}"
        for name in before
        if name != "samples"
    )
    print(figures)
    record_property("figures", figures)
    assert growth(before, after) == []


def count(value: Any) -> str:
    """A number, the number of names, or bytes as MiB."""
    if isinstance(value, list):
        return str(len(value))
    return f"{value / MEBIBYTE:.2f} MiB" if value > MEBIBYTE else str(value)
