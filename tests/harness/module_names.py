"""Tells all names of Ganeti's KVM module, or of ours in its place, with their signatures.

    module_names.py GENERATION original|ours

Prints JSON: name below ``hv_kvm`` -> [signature without annotations or null, where it is defined].
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

_PACKAGE = "ganeti.hypervisor.hv_kvm"
_SUBMODULES = ("monitor", "netdev", "validation", "kvm_runtime", "kvm_utils", "bus_manager")
_EMPTY = inspect.Parameter.empty


def _unwrapped(value: Any) -> Any:
    """What a decorator of the originals hides behind ``*args, **kwargs``."""
    if getattr(value, "__name__", "") == "wrapper":
        for cell in value.__closure__ or ():
            if inspect.isfunction(cell.cell_contents):
                return cell.cell_contents
    return value


def _signature(value: Any) -> str | None:
    if not callable(value):
        return None
    value = _unwrapped(value)
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return None
    plain = [
        parameter.replace(annotation=_EMPTY, default=_plain(parameter.default))
        for parameter in found.parameters.values()
    ]
    return str(inspect.Signature(plain))


class _Text:
    """A default whose representation would hold an address."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _plain(default: Any) -> Any:
    if callable(default) and default is not _EMPTY:
        return _Text(default.__name__)
    return default


def _is_own(value: Any) -> bool:
    """Not something that the module merely imported from elsewhere."""
    if isinstance(value, ModuleType):
        return False
    origin = getattr(value, "__module__", None) if callable(value) else None
    return origin is None or origin.startswith((_PACKAGE, "ganeti_hv_kvm"))


def _place(value: Any, module: ModuleType) -> str:
    return str(getattr(value, "__module__", None) or module.__name__)


def _members(prefix: str, owner: type, module: ModuleType) -> Iterator[tuple[str, list[Any]]]:
    """All that a class has of its own or from a class of the same package, as seen on it."""
    for base in reversed(owner.__mro__):
        if not _is_own(base):
            continue
        for name in vars(base):
            if name.startswith("__"):
                continue
            value = inspect.getattr_static(owner, name)
            function = value.__func__ if isinstance(value, staticmethod | classmethod) else value
            yield f"{prefix}.{name}", [_bound(value, function), _place(base, module)]


def _bound(value: Any, function: Any) -> str | None:
    """The signature without the object or class that Python puts in by itself."""
    text = _signature(function)
    if text is None or isinstance(value, staticmethod):
        return text
    first, _, rest = text.removeprefix("(").removesuffix(")").partition(", ")
    return f"({rest.removeprefix('/, ')})" if first in ("self", "cls", "/") or first else text


def names(module: ModuleType, prefix: str) -> dict[str, list[Any]]:
    """Name -> [signature, where it is defined]."""
    found: dict[str, list[Any]] = {}
    for name in dir(module):
        value = getattr(module, name)
        if name.startswith("__") or not _is_own(value):
            continue
        found[f"{prefix}.{name}"] = [_signature(value), _place(value, module)]
        if isinstance(value, type):
            found |= dict(_members(f"{prefix}.{name}", value, module))
    return found


def main(generation: str, side: str) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from harness import node

    made = node.make_node(generation, side)
    try:
        found = names(importlib.import_module(_PACKAGE), "hv_kvm")
        for submodule in _SUBMODULES:
            try:
                module = importlib.import_module(f"{_PACKAGE}.{submodule}")
            except ImportError:
                continue
            found |= names(module, f"hv_kvm.{submodule}")
        print(json.dumps(found))
    finally:
        made.remove()


if __name__ == "__main__":
    main(*sys.argv[1:])
