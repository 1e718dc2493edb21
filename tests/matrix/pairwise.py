"""A pairwise cover: few rows in which each two values of two dimensions come together once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

Row = dict[str, str]
"""The name of a dimension: the label of its value."""

Pair = tuple[tuple[str, str], tuple[str, str]]


def _pairs(row: Row, order: Sequence[str]) -> set[Pair]:
    chosen = [(name, row[name]) for name in order if name in row]
    return set(itertools.combinations(chosen, 2))


def possible_pairs(
    dimensions: Mapping[str, Sequence[str]], allowed: Callable[[Row], bool]
) -> set[Pair]:
    """Each two values that may stand in one row."""
    return {
        ((one, first), (other, second))
        for one, other in itertools.combinations(dimensions, 2)
        for first in dimensions[one]
        for second in dimensions[other]
        if allowed({one: first, other: second})
    }


def cover(
    dimensions: Mapping[str, Sequence[str]], allowed: Callable[[Row], bool] = lambda _: True
) -> list[Row]:
    """Rows that hold every possible pair; the same ones each time.

    Args:
        dimensions: the labels of each dimension's values.
        allowed: whether some values may stand together; it is given rows that are not whole.

    Raises:
        ValueError: some pair is allowed by itself, but no whole row can hold it.
    """
    order = list(dimensions)
    missing = possible_pairs(dimensions, allowed)
    rows = []
    while missing:
        row = _row(dimensions, allowed, missing)
        rows.append(row)
        missing -= _pairs(row, order)
    return rows


def _row(
    dimensions: Mapping[str, Sequence[str]],
    allowed: Callable[[Row], bool],
    missing: set[Pair],
) -> Row:
    """A row that begins with a missing pair, and takes of each dimension what has most of them."""
    order = list(dimensions)
    seed = dict(min(missing))
    left = sorted((name for name in order if name not in seed), key=lambda n: -len(dimensions[n]))

    def options(row: Row, name: str) -> bool:
        return any(allowed({**row, name: label}) for label in dimensions[name])

    def fill(row: Row, left: Sequence[str]) -> Row | None:
        if not left:
            return row
        name, *rest = left
        for label in sorted(
            dimensions[name],
            key=lambda label: _gain(row, name, label, missing, order),
            reverse=True,
        ):
            more = {**row, name: label}
            if allowed(more) and all(options(more, other) for other in rest):
                whole = fill(more, rest)
                if whole is not None:
                    return whole
        return None

    row = fill(seed, left)
    if row is None:
        raise ValueError(f"no row can hold {seed}")
    return {name: row[name] for name in order}


def _gain(
    row: Row, name: str, label: str, missing: set[Pair], order: Sequence[str]
) -> tuple[int, int]:
    """How many missing pairs a value adds; where there is none, the one that misses most."""
    at = order.index(name)
    new = 0
    for other, known in row.items():
        pair = ((other, known), (name, label))
        new += (pair if order.index(other) < at else pair[::-1]) in missing
    left = sum((name, label) in pair for pair in missing) if new == 0 else 0
    return new, left
