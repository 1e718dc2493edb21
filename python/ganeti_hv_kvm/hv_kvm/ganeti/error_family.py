"""Ganeti's daemons wait for ``errors.HypervisorError``, and for nothing else.

A node that has no descriptor or no memory left, or whose disk is full, fails in places where
nobody thought of it. Whatever comes out of a request then is one of that family, too.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

from ganeti import errors

from ganeti_hv_kvm.hv_kvm.ganeti import child_status

_Class = TypeVar("_Class", bound=type)
_P = ParamSpec("_P")
_R = TypeVar("_R")

#: Not ``errors.ProgrammerError``: who called what is not there is to see it.
#: A module that Python loads late is "not found" where the system has no memory for a look at it.
_FOREIGN = (OSError, MemoryError, UnicodeError, ImportError, errors.GenericError)

#: These run commands, and must know how each ended.
_RUN_COMMANDS = {
    "StartInstance",
    "RebootInstance",
    "AcceptInstance",
    "HotAddDevice",
    "HotModDevice",
}


def converts(names: Iterable[str]) -> Callable[[_Class], _Class]:
    """Have these methods of a class raise ``errors.HypervisorError`` for what the system refuses.

    Args:
        names: methods; one that the class does not have is an AttributeError.
    """

    def decorate(cls: _Class) -> _Class:
        for name in names:
            setattr(cls, name, _converting(name, getattr(cls, name)))
        return cls

    return decorate


def _converting(name: str, method: Callable[_P, _R]) -> Callable[_P, _R]:
    @functools.wraps(method)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            with child_status.told(needed=name in _RUN_COMMANDS):
                return method(*args, **kwargs)
        except (errors.HypervisorError, errors.ProgrammerError):
            raise
        except (*_FOREIGN, LookupError) as err:
            # A codec that cannot be loaded is a LookupError itself; a KeyError is somebody's slip.
            if type(err) is not LookupError and not isinstance(err, _FOREIGN):
                raise
            logging.exception("%s failed", name)
            text = f"{_whose(args[1:], kwargs)}{name} failed: {_why(err)}"
            raise errors.HypervisorError(text) from err

    return call


def _whose(args: tuple[object, ...], kwargs: dict[str, object]) -> str:
    """Name the instance, which is the first argument of most methods, or its name."""
    first = args[0] if args and args[0] is not None else kwargs.get("name")
    name = getattr(first, "name", first)
    return f"Instance {name}: " if isinstance(name, str) else ""


def _why(err: BaseException) -> str:
    return "no memory is left" if isinstance(err, MemoryError) else str(err)
