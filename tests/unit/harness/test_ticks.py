"""Ticks of a guest that moves: none is taken for lost because its line came in two halves."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness import migrants


def side(*numbers: int, begun: str = "", lines: tuple[str, ...] = ()) -> SimpleNamespace:
    return SimpleNamespace(seen=[(0.0, one) for one in numbers], begun=begun, lines=lines)


@pytest.mark.parametrize(
    ("begun", "first", "numbers"),
    [
        ("", "guest: tick 85", [83, 85]),
        ("guest: ti", "ck 84", [83, 84, 85]),
        ("guest: tick 8", "4", [83, 84, 85]),
        ("guest: tick 84", "", [83, 84, 85]),
        # the other half went to nobody
        ("guest: ti", "guest: tick 85", [83, 85]),
        ("[    3.1", "15] sd", [83, 85]),
    ],
)
def test_a_line_in_two_halves(begun, first, numbers):
    source = side(83, begun=begun)
    assert migrants.counted(source, side(85, lines=(first, "guest: tick 86"))) == numbers
