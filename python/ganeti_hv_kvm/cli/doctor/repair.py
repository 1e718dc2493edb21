"""Carrying out what is safe: each step is said, then done, after one more look."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ganeti_hv_kvm.cli.doctor.diagnosis import RefusedError, Step
from ganeti_hv_kvm.cli.frame.output import quoted


class Outcome(NamedTuple):
    """What became of a step; ``why_not`` is None if it was done."""

    text: str
    why_not: str | None


def carry_out(steps: Iterable[Step], say: Callable[[str], None] | None) -> Iterator[Outcome]:
    """Carry out each step, whatever became of the one before.

    Args:
        steps: in their order.
        say: is told each step before it is done, and what became of it.
    """
    for step in steps:
        if say:
            say(f"{step.text} ...")
        why_not = None
        try:
            step.carry_out()
        except FileNotFoundError:
            pass  # it has gone by itself
        except RefusedError as err:
            why_not = str(err)
        except OSError as err:
            why_not = err.strerror or str(err)
        if say:
            say("  done" if why_not is None else f"  not done: {quoted(why_not)}")
        yield Outcome(step.text, why_not)
