"""Curves as SVG, logarithmic both ways."""

from __future__ import annotations

import math
from collections.abc import Iterator
from xml.sax.saxutils import escape

from .results import Curve

_WIDTH, _HEIGHT = 720, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 190, 40, 50
_COLOURS = ("#0b6e4f", "#c1121f", "#1d4e89", "#e09f3e", "#6a4c93", "#777777", "#00a6a6")


class _Axis:
    """Numbers of several powers of ten on a stretch of the picture."""

    def __init__(self, numbers: list[float], start: float, end: float) -> None:
        self._low, self._high = math.log10(min(numbers)), math.log10(max(numbers))
        if self._high - self._low < 0.3:
            self._high += 0.3
        self._start, self._end = start, end

    def place(self, number: float) -> float:
        share = (math.log10(number) - self._low) / (self._high - self._low)
        return self._start + share * (self._end - self._start)

    def marks(self) -> Iterator[float]:
        for power in range(math.floor(self._low), math.ceil(self._high) + 1):
            for digit in (1, 2, 5):
                if self._low - 0.01 <= math.log10(digit * 10.0**power) <= self._high + 0.01:
                    yield digit * 10.0**power


def draw(curve: Curve) -> str:
    """The picture as a text."""
    points = [point for line in curve.lines.values() for point in line]
    across = _Axis([x for x, _ in points], _LEFT, _WIDTH - _RIGHT)
    upwards = _Axis([y for _, y in points], _HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="15">{escape(curve.title)}</text>',
        *_grid(across, upwards),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 12, curve.across, "middle"),
        _text(_LEFT, _TOP - 6, curve.upwards, "middle"),
    ]
    for number, (name, line) in enumerate(curve.lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        places = [(across.place(x), upwards.place(y)) for x, y in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        parts += _legend(number, name, colour)
    return "\n".join([*parts, "</svg>", ""])


def _grid(across: _Axis, upwards: _Axis) -> Iterator[str]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    for number in across.marks():
        x = across.place(number)
        yield f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}" stroke="#e5e5e5"/>'
        yield _text(x, bottom + 16, f"{number:g}", "middle")
    for number in upwards.marks():
        y = upwards.place(number)
        yield f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#e5e5e5"/>'
        yield _text(_LEFT - 6, y + 4, f"{number:g}", "end")


def _legend(number: int, name: str, colour: str) -> Iterator[str]:
    x, y = _WIDTH - _RIGHT + 16, _TOP + 16 + 20 * number
    yield f'<rect x="{x}" y="{y - 6}" width="18" height="3" fill="{colour}"/>'
    yield _text(x + 24, y, name, "start")


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
