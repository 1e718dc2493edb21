"""Upstream's development version of Ganeti, by its features: ours does what it asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness import node, upstream
from oracle import judge


@pytest.mark.parametrize("scenario", judge.scenarios("development"))
def test_development_version(scenario: Callable[..., Any]) -> None:
    assert judge.outcome(upstream.GENERATION, node.OURS, scenario) == "held"
