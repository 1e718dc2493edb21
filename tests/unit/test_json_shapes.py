"""Foreign JSON is a list or an object only after a look."""

from __future__ import annotations

import pytest

from ganeti_hv_kvm import json_shapes


def test_they_are_the_very_values():
    inner = {"a": 1}
    outer = [inner]
    assert json_shapes.items(outer) is outer
    assert json_shapes.members(inner) is inner
    assert json_shapes.entries(outer)[0] is inner


@pytest.mark.parametrize("value", [None, 7, "text", {"a": 1}])
def test_no_list(value):
    with pytest.raises(TypeError, match=f"not {type(value).__name__}"):
        json_shapes.items(value)


@pytest.mark.parametrize("value", [None, 7, "text", [1]])
def test_no_object(value):
    with pytest.raises(TypeError, match=f"not {type(value).__name__}"):
        json_shapes.members(value)


def test_a_list_of_something_else():
    with pytest.raises(TypeError, match="not int"):
        json_shapes.entries([{}, 7])
