"""What the original gets wrong, shown on it; ours, under both Ganetis, does it right.

Each scenario runs in a process, a network and a Ganeti node of its own. Most of them wait for
something most of the time, so a few run at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from harness import node
from oracle import judge

pytestmark = pytest.mark.faults

_AT_ONCE = 3
_FILES = ("wire", "start", "life", "running", "hotplug", "migration")
Verdict = Callable[[Callable[..., Any], str, str], str]


@pytest.fixture(scope="module")
def verdict(request: pytest.FixtureRequest) -> Iterator[Verdict]:
    """Tells how a case ended; the cases chosen for this run are under way from the first on."""
    chosen = [
        item.callspec.params
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.module is request.module
    ]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        running: dict[tuple[object, ...], Future[str]] = {
            (case["scenario"], case["generation"], case["module"]): pool.submit(
                judge.outcome, case["generation"], case["module"], case["scenario"]
            )
            for case in chosen
        }
        yield lambda *case: running[case].result()
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize(
    ("scenario", "generation", "module"),
    [case for file in _FILES for case in judge.cases(file)],
)
def test_fault(
    scenario: Callable[..., Any], generation: str, module: str, verdict: Verdict
) -> None:
    ended = verdict(scenario, generation, module)
    assert ended.startswith("held" if module == node.OURS else "fault: "), ended
