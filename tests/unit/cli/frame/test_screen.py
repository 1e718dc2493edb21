"""Lines on a screen."""

from __future__ import annotations

import pytest

from ganeti_hv_kvm.cli.frame import screen


@pytest.mark.parametrize(
    ("line", "width", "shown"),
    [
        ("abcdef", 4, "abcd"),
        ("abc", 4, "abc"),
        ("a\x1b[31mbcd\x1b[0mef", 4, "a\x1b[31mbcd\x1b[0m"),
        ("a\x1b[31mbcd\x1b[0mef", 2, "a\x1b[31mb\x1b[0m"),
        ("", 4, ""),
    ],
)
def test_cut(line, width, shown):
    assert screen.cut(line, width) == shown


def test_without_a_terminal_one_after_the_other(capsys):
    drawings = iter([["a", "b"], ["c"]])
    screen.watch(0.001, lambda: next(drawings), last=2)
    assert capsys.readouterr().out == "a\nb\n\nc\n"
