"""JSON that somebody else wrote: a list or an object is taken for one only after a look."""

from __future__ import annotations


def items(value: object) -> list[object]:
    """Give the items of a list.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, list):
        raise TypeError(f"a list was expected, not {type(value).__name__}")
    return value


def members(value: object) -> dict[str, object]:
    """Give the members of an object.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, dict):
        raise TypeError(f"an object was expected, not {type(value).__name__}")
    return value


def entries(value: object) -> list[dict[str, object]]:
    """Give the objects of which a list consists.

    Raises:
        TypeError: it is no list, or something else is in it.
    """
    return [members(one) for one in items(value)]
