"""What `make test` leaves to `make test-thorough`, and that it leaves out no test whole."""

from __future__ import annotations

import pytest

from harness import sample


@pytest.mark.parametrize("every", [1, 2, 5, 9])
@pytest.mark.parametrize("cases", [1, 2, 3, 18])
def test_one_in_so_many_and_one_at_least(cases: int, every: int) -> None:
    found = list(sample.chosen("test_x", cases, every))
    assert max(1, cases // every) <= len(found) <= -(-cases // every)
    assert set(found) <= set(range(cases))
    assert found == list(sample.chosen("test_x", cases, every))


def test_others_for_each_test() -> None:
    first = {sample.chosen(f"test_{number}", 4, 2)[0] for number in range(20)}
    assert first == {0, 1}
