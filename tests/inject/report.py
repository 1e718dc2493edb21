"""What was injected, and what came of it: for people."""

from __future__ import annotations

import xml.etree.ElementTree as xml
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from . import judge

_OUTCOMES = (
    judge.DONE,
    judge.NOT_DONE,
    judge.NAMED,
    judge.FOLLOWED,
    judge.DOWN,
    judge.MISSED,
    judge.WRONG,
)


_SHORT = {
    judge.DONE: "done",
    judge.NOT_DONE: "nothing changed",
    judge.NAMED: "named",
    judge.FOLLOWED: "done, and an error",
    judge.DOWN: "down, and said so",
    judge.WRONG: "wrong",
}


class Row(NamedTuple):
    """One fault; ``hit`` is the call with its arguments."""

    operation: str
    call: str
    error: str
    hit: str
    outcome: str
    why: str


def summary(rows: Sequence[Row], seconds: float) -> str:
    """Some lines for the terminal."""
    counts = Counter(row.outcome for row in rows)
    lines = [f"{len(rows)} faults in {seconds:.0f} s"]
    lines += [f"  {outcome}: {counts[outcome]}" for outcome in _OUTCOMES if counts[outcome]]
    return "\n".join(lines)


_HEAD = """# Faults of the system, one by one

Written by `make test-inject`; not by hand. Every system call of ours (not of QEMU, nor of the
node's scripts) fails once, with each error that fits, in each operation, on a real QEMU{ganeti};
then the kernel, QEMU's second monitor, files and interfaces are looked at, and the same request is
made once more without a fault. An interrupt (EINTR) must not be felt. What each request begins
with, the run directories, fails in `start` and `list` alone. `close` does not fail here: strace
would keep it from being carried out, which the kernel never does.

- **done**: as if nothing had failed.
- **nothing changed**: `HypervisorError`, and all is as it was before.
- **named**: `HypervisorError` whose text names what is left.
- **done, and an error**: it happened, and an error followed; the next attempt succeeds.
- **down, and said so**: of a reboot: the guest had shut down, nothing is left of its next start,
  and the error says that it is down now; it can be started.

In all of them: no QEMU that runs is missing in a list, no guest was ended without being asked, no
descriptor is left (but for pipes of Python's `subprocess`), and the next attempt gets there.
"""


def document(rows: Sequence[Row], ganeti: str) -> str:
    """The page for docs."""
    lines = [_HEAD.format(ganeti=f" under Ganeti {ganeti}")]
    reached = [row for row in rows if row.outcome != judge.MISSED]
    lines += [
        "## All",
        "",
        "| operation | faults | done | unchanged | named | done, and an error | down | wrong |",
    ]
    lines.append("|--|--:|--:|--:|--:|--:|--:|--:|")
    for name in dict.fromkeys(row.operation for row in reached):
        counts = Counter(row.outcome for row in reached if row.operation == name)
        lines.append(f"| {name} | {counts.total()} | {_numbers(counts)} |")
    counts = Counter(row.outcome for row in reached)
    lines.append(f"| all | {counts.total()} | {_numbers(counts)} |")
    for name in dict.fromkeys(row.operation for row in reached):
        lines += [
            "",
            f"## {name.capitalize()}",
            "",
            "| call | error | faults | outcome |",
            "|--|--|--:|--|",
        ]
        here = [row for row in reached if row.operation == name]
        for call, error in sorted({(row.call, row.error) for row in here}):
            found = Counter(row.outcome for row in here if (row.call, row.error) == (call, error))
            words = ", ".join(f"{_SHORT[one]} {found[one]}" for one in _OUTCOMES if found[one])
            lines.append(f"| {call} | {error} | {found.total()} | {words} |")
    return "\n".join(lines) + "\n"


def _numbers(counts: Counter[str]) -> str:
    wanted = (judge.DONE, judge.NOT_DONE, judge.NAMED, judge.FOLLOWED, judge.DOWN, judge.WRONG)
    return " | ".join(str(counts[one]) for one in wanted)


def junit(rows: Sequence[Row]) -> str:
    """One case a fault, as pytest would write it."""
    suite = xml.Element("testsuite", name="inject")
    for row in rows:
        name = f"{row.call} {row.error} at {row.hit}"
        case = xml.SubElement(suite, "testcase", classname=row.operation, name=name)
        if row.outcome == judge.WRONG:
            xml.SubElement(case, "failure", message=row.why)
    return xml.tostring(suite, encoding="unicode")
