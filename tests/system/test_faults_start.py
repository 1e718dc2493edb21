"""What the original gets wrong when it starts an instance; ours does it right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from oracle import judge


@pytest.mark.parametrize(("scenario", "generation", "module"), judge.cases("start"))
def test_fault(scenario: Callable[..., Any], generation: str, module: str) -> None:
    judge.check(scenario, generation, module)
