"""Hypervisor parameters by their types, which Ganeti's constants promise and no dict keeps.

Those of an instance were checked by Ganeti; those of a runtime file may be of any shape.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from ganeti import errors

#: Of an instance, or as a guest was started with; backend parameters are read in the same way.
HvParams = Mapping[str, object]


class UnfitValueError(errors.HypervisorError, TypeError):
    """A parameter's value is of another type than the parameter."""


def text(hvp: HvParams, name: str) -> str:
    """Give a parameter that is a text.

    Raises:
        KeyError: there is none of this name.
        UnfitValueError: it is no text.
    """
    value = hvp[name]
    if not isinstance(value, str):
        raise _unfit(name, "text", value)
    return value


def text_or_none(hvp: HvParams, name: str) -> str | None:
    """Give a parameter that is a text, or None where nothing is said.

    Raises:
        UnfitValueError: it is something else.
    """
    return None if hvp.get(name) is None else text(hvp, name)


def number(hvp: HvParams, name: str) -> int:
    """Give a parameter that is a whole number, or the text of one.

    Raises:
        KeyError: there is none of this name.
        UnfitValueError: it is no number.
        ValueError: it is the text of something else.
    """
    value = hvp[name]
    # JSON's 1e999 is endless to Python, and int() has an error of another family for it
    is_endless = isinstance(value, float) and not math.isfinite(value)
    if not isinstance(value, int | float | str) or is_endless:
        raise _unfit(name, "number", value)
    return int(value)


def number_or_zero(hvp: HvParams, name: str) -> int:
    """Give a parameter that is a whole number; 0 where nothing is said.

    Raises:
        UnfitValueError: it is no number.
        ValueError: it is the text of something else.
    """
    return number(hvp, name) if hvp.get(name) else 0


def _unfit(name: str, kind: str, value: object) -> UnfitValueError:
    return UnfitValueError(f"{name} is no {kind}, but {value!r:.50}")
