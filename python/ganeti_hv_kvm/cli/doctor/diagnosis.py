"""A finding about the node, with the steps that put it right where that is safe."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ganeti_hv_kvm.cli.frame.finding import Finding


class Step(NamedTuple):
    """One thing that `--fix` does.

    Attributes:
        text: what it is about to do, as a sentence without its full stop.
        carry_out: does it, after a last look; raises OSError or `RefusedError`.
    """

    text: str
    carry_out: Callable[[], None]


class RefusedError(Exception):
    """A last look showed that it is not what it was: nothing was done."""


class Diagnosis(NamedTuple):
    """A finding, and how it is put right; no step where that is for a person."""

    finding: Finding
    steps: tuple[Step, ...] = ()
