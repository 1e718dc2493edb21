"""What was injected, and what came of it: for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from . import judge

_OUTCOMES = (judge.DONE, judge.NOT_DONE, judge.NAMED, judge.FOLLOWED, judge.MISSED, judge.WRONG)


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


def document(rows: Sequence[Row], ganeti: str) -> str:
    """The page for docs."""
    return ""
