"""Measured series: medians, spread, and ratios within rounds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

Measure = str


@dataclass(frozen=True)
class Spread:
    """The median and the middle half of some numbers."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, numbers: list[float]) -> Spread:
        if len(numbers) < 2:
            return cls(numbers[0], numbers[0], numbers[0])
        low, _, high = quantiles(numbers, n=4, method="inclusive")
        return cls(median(numbers), low, high)


@dataclass
class Series:
    """For each subject one number a round."""

    rounds: dict[str, dict[Measure, list[float]]] = field(default_factory=dict)

    def add(self, subject: str, measure: Measure, number: float) -> None:
        self.rounds.setdefault(subject, {}).setdefault(measure, []).append(number)

    def subjects(self) -> Iterator[str]:
        return iter(self.rounds)

    def spread(self, subject: str, measure: Measure = "seconds") -> Spread:
        return Spread.of(self.rounds[subject][measure])

    def ratio(self, subject: str, base: str, measure: Measure = "seconds") -> Spread:
        """How often the base fits into the subject."""
        pairs = zip(self.rounds[subject][measure], self.rounds[base][measure], strict=True)
        return Spread.of([ours / theirs for ours, theirs in pairs])

    def as_json(self) -> dict[str, Any]:
        return self.rounds


@dataclass(frozen=True)
class Table:
    """One thing measured for several subjects."""

    title: str
    unit: str
    """ "µs", "ms" or "MiB"."""
    series: Series
    base: str
    """The subject that the others are compared with."""
    measure: Measure = "seconds"


@dataclass(frozen=True)
class Bar:
    """Something that was promised, and how it stands."""

    promise: str
    limit: float
    found: float

    @property
    def is_met(self) -> bool:
        return self.found <= self.limit


@dataclass(frozen=True)
class Curve:
    """Numbers over a size, a line for each subject."""

    name: str
    title: str
    across: str
    upwards: str
    lines: dict[str, list[tuple[float, float]]]


@dataclass
class Report:
    """All that a run found."""

    tables: list[Table] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    load: float = field(default_factory=lambda: os.getloadavg()[0])  # before it


@dataclass(frozen=True)
class Effort:
    """How much is measured: rounds, samples in a round, guests of a full node."""

    rounds: int
    samples: int
    guests: tuple[int, ...]
    sizes: tuple[int, ...]
