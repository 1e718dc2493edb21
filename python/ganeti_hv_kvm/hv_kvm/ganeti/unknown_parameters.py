"""Hypervisor parameters that this Ganeti has and this package does not know.

One of them must not cost a node all of this module: most of what Ganeti asks needs no parameter at
all. But a QEMU that is built without one may not be what its owner ordered, and its runtime file
would say that it is. So what builds a QEMU, or a device of one, for a guest that uses such a
parameter goes to Ganeti's own module, or is refused.
"""

from __future__ import annotations

import enum
import functools
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from ganeti import constants, errors

from ganeti_hv_kvm import original

from . import settings
from .settings import UNKNOWN_PARAMETERS

if TYPE_CHECKING:
    from ganeti.hypervisor.hv_base import BaseHypervisor, Check

_NAME = UNKNOWN_PARAMETERS.name


class _OwnClass(Protocol):
    """What ``left_to_own_module`` needs of an object."""

    def _OwnClass(self, instance: Any) -> type[BaseHypervisor] | None: ...


_Self = TypeVar("_Self", bound=_OwnClass)
_P = ParamSpec("_P")
_R = TypeVar("_R")


class Policy(enum.Enum):
    """What becomes of a guest that uses an unknown parameter."""

    DELEGATE = "delegate"
    """Ganeti's own module builds its QEMU."""
    REFUSE = "refuse"
    """Nobody does: an error that names the parameter."""
    ASIDE = "aside"
    """Ganeti gets its own module for all guests of the node."""


def policy() -> Policy:
    """Tell what the operator chose."""
    return Policy(UNKNOWN_PARAMETERS.value())


def _defaults() -> Mapping[str, object]:
    defaults: Mapping[str, object] = constants.HVC_DEFAULTS[constants.HT_KVM]
    return defaults


def names(known: Mapping[str, object]) -> list[str]:
    """Name the parameters of this Ganeti that are not among ``known``, sorted."""
    return sorted(set(_defaults()) - set(known))


def used(unknown: list[str], hvparams: Mapping[str, object] | None) -> dict[str, object]:
    """Give the unknown parameters by which a guest may differ from what is built here.

    Ganeti's way to say "off" is 0, False or an empty text. Where that is the default too, a guest
    with it is what it would be if the parameter did not exist; of any other value nothing is known.
    """
    return {
        name: hvparams[name]
        for name in unknown
        if hvparams is not None and name in hvparams and (hvparams[name] or _defaults().get(name))
    }


def _text(parameters: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in parameters.items())


def checks(unknown: list[str], no_check: Check) -> dict[str, Check]:
    """Give the checks of the unknown parameters: those of Ganeti's own module, where it loads."""
    if not unknown or policy() is Policy.ASIDE:
        return {}
    try:
        theirs: Mapping[str, Check] = _own_class().PARAMETERS
    except ImportError as err:
        logging.warning("Values of %s are not checked: %s", ", ".join(unknown), err)
        theirs = {}
    return {name: theirs.get(name, no_check) for name in unknown}


def _own_class() -> type[BaseHypervisor]:
    own: type[BaseHypervisor] = original.load().KVMHypervisor
    return own


def report(unknown: list[str]) -> str | None:
    """Say for `gnt-cluster verify` what is done about unknown parameters; None where all are known.

    It is an error there: a guest may be built by a module that nobody expects.
    """
    if not unknown:
        return None
    ours = f"this version of ganeti-hv-kvm does not know {', '.join(unknown)}"
    if policy() is Policy.REFUSE:
        return f"{ours}: guests that use it are not started ({_NAME}=refuse). Upgrade it"
    try:
        _own_class()
    except ImportError as err:
        return f"{ours}, and guests that use it cannot be started: {err}. Upgrade it"
    return f"{ours}: guests that use it are started by Ganeti's own KVM module. Upgrade it"


def own_class(
    whose: str, unknown: list[str], *hvparams: Mapping[str, object] | None
) -> type[BaseHypervisor] | None:
    """Give Ganeti's own class if a guest has to go there; None if it does not.

    Args:
        whose: the guest, for logs and errors, such as "instance web1".
        unknown: what ``names`` gave.
        hvparams: the guest's parameters: today's, and those of its start where there are any.

    Raises:
        errors.HypervisorError: the guest uses an unknown parameter, and nobody may or can build it,
            or who is to cannot be told.
    """
    using: dict[str, object] = {}
    for parameters in hvparams:
        using |= used(unknown, parameters)
    if not using:
        return None
    settings.check()
    why = f"{whose} uses what this version of ganeti-hv-kvm does not know ({_text(using)})"
    if policy() is Policy.REFUSE:
        raise errors.HypervisorError(
            f"{why}, and {_NAME} is refuse: nothing was done. Upgrade ganeti-hv-kvm, or set"
            f" {_NAME}=delegate"
        )
    try:
        own = _own_class()
    except ImportError as err:
        raise errors.HypervisorError(f"{why}: nothing was done, as {err}") from err
    logging.info("%s: that is left to Ganeti's own KVM module", why)
    return own


def left_to_own_module(
    method: Callable[Concatenate[_Self, _P], _R],
) -> Callable[Concatenate[_Self, _P], _R]:
    """Decorate a method that builds a QEMU or a device: ``method(self, instance, ...)``.

    Where the guest uses an unknown parameter, the method of the same name of Ganeti's own class is
    called instead.
    """

    @functools.wraps(method)
    def choose(self: _Self, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        own = self._OwnClass(args[0] if args else kwargs["instance"])
        if own is not None:
            value: _R = getattr(own(), method.__name__)(*args, **kwargs)
            return value
        return method(self, *args, **kwargs)

    return choose
