"""Gives our hypervisor module Ganeti's name for it: the same objects under both names.

`ganeti-hv-kvm enable` makes each Python process call `install` when, and only when, it imports
Ganeti's KVM module.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ganeti_hv_kvm import installation

GANETI_NAME = "ganeti.hypervisor.hv_kvm"
OUR_NAME = "ganeti_hv_kvm.hv_kvm"
#: An entry of `sys.meta_path` with this attribute calls `install` on demand.
TRIGGER_ATTRIBUTE = "ganeti_hv_kvm"

_LOGGER = logging.getLogger("ganeti_hv_kvm")


class UnsupportedGanetiError(ImportError):
    """This Ganeti asks for something that our hypervisor module does not have."""


class Alias:
    """Loader that gives a module which exists under another name, the very same object."""

    def __init__(self, target: str) -> None:
        self.target = target

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Give the real module at once, so that no other thread ever sees an empty one."""
        module = importlib.import_module(self.target)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Give the module its own spec back: the import system has just set ours."""
        alias_spec = module.__spec__
        if alias_spec is not None:
            module.__spec__ = alias_spec.loader_state


class Finder:
    """Answers for `GANETI_NAME` and what lies below it, and for no other module.

    All or nothing: where our package cannot be imported, or does not fit this Ganeti, it stands
    aside for the rest of the process, and Ganeti finds its original with all its submodules.
    `failure` then holds the reason.
    """

    def __init__(self, installation: int = 0) -> None:
        self.failure: str | None = None
        self._installation = installation

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Part of the import system's protocol for `sys.meta_path`."""
        if not name.startswith(GANETI_NAME):
            return None
        if name == GANETI_NAME:
            return self._find_package(path)
        if name.startswith(GANETI_NAME + "."):
            return _find_submodule(name)
        return None

    def _find_package(self, path: Sequence[str] | None) -> ModuleSpec | None:
        if self.failure is None:
            try:
                _load_hypervisor(self._installation)
            # Whatever is wrong with us, the node's guests must stay manageable.
            except Exception as err:
                self.failure = f"{type(err).__name__}: {err}"
                _warn_in_ganetis_log(
                    f"ganeti-hv-kvm cannot be used, Ganeti's own KVM module is: {self.failure}"
                )
            else:
                return _alias_spec(GANETI_NAME)
        # one that was never installed has no say about what else finds the module
        return _original_spec(path, self.failure) if installed() is self else None


class OriginalLoader:
    """Loads Ganeti's own module as its own loader does, and lets its Verify say why it is there.

    So `gnt-cluster verify` shows on which nodes ours stands aside. Our settings file stays one that
    Ganeti copies: what has ours stand aside may be in it. Nothing else is changed.
    """

    def __init__(self, loader: Any, failure: str) -> None:
        self._loader = loader
        self._sentence = (
            "ganeti-hv-kvm is enabled on this node, but cannot be used, and Ganeti's own KVM module"
            f" is ({failure}); 'ganeti-hv-kvm status' says more"
        )

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Part of the import system's protocol for loaders."""
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Part of the same; the module never sees another loader than its own."""
        spec: Any = module.__spec__
        spec.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        hypervisor = getattr(module, "KVMHypervisor", None)
        own = getattr(hypervisor, "Verify", None)
        if hypervisor is None or own is None:
            return
        sentence = self._sentence

        @functools.wraps(own)
        def verify(*args: object, **kwargs: object) -> str:
            told = own(*args, **kwargs)
            return f"{told}; {sentence}" if told else sentence

        hypervisor.Verify = verify
        _go_on_copying_settings(hypervisor)


def _go_on_copying_settings(hypervisor: Any) -> None:
    # not there where our package does not load: its settings mean nothing then
    settings_file = sys.modules.get(f"{OUR_NAME}.ganeti.settings_file")
    path = getattr(settings_file, "PATH", None)
    for name in ("ANCILLARY_FILES", "ANCILLARY_FILES_OPT"):
        known = getattr(hypervisor, name, None)
        if path and isinstance(known, list) and path not in known:
            # another list: the class may share its own with others
            setattr(hypervisor, name, [*known, path])


def _original_spec(path: Sequence[str] | None, failure: str) -> ModuleSpec | None:
    """Find Ganeti's own module as if we were not there; None leaves that to the others."""
    try:
        for finder in sys.meta_path:
            if isinstance(finder, Finder) or hasattr(finder, TRIGGER_ATTRIBUTE):
                continue
            spec = finder.find_spec(GANETI_NAME, path)
            if spec is not None:
                if spec.loader is not None:
                    loader: Any = OriginalLoader(spec.loader, failure)
                    spec.loader = loader
                return spec
    except Exception as err:
        _LOGGER.warning("Ganeti's own KVM module will not say that it is used: %s", err)
    return None


def _load_hypervisor(expected: int) -> None:
    """Import all that Ganeti will need, so that a failure shows before Ganeti has any of it.

    Raises `UnsupportedGanetiError`, an error of `installation`, or whatever the import raises.
    """
    installation.expect(expected)
    installation.check()
    # The native part first: it has no part in the import cycle between Ganeti and us.
    native = importlib.import_module("ganeti_hv_kvm._native")
    installation.check_versions(native.__version__)
    # Where our package was imported before Ganeti, this is the half-made module of that import;
    # asking it for the class makes it import the rest.
    hypervisor = importlib.import_module(OUR_NAME).KVMHypervisor

    from ganeti import constants

    unknown = set(constants.HVC_DEFAULTS[constants.HT_KVM]) - set(hypervisor.PARAMETERS)
    if unknown:
        raise UnsupportedGanetiError(
            "this Ganeti has hypervisor parameters that ganeti-hv-kvm does not know: "
            + ", ".join(sorted(unknown))
        )
    report = getattr(hypervisor, "_ReportUnknownParameters", None)
    if report and (said := report()):
        _warn_in_ganetis_log(f"ganeti-hv-kvm: {said}")


def _our_name(ganeti_name: str) -> str:
    return OUR_NAME + ganeti_name[len(GANETI_NAME) :]


def _alias_spec(name: str) -> ModuleSpec:
    target = _our_name(name)
    loader: Any = Alias(target)
    is_package = hasattr(sys.modules.get(target), "__path__")
    return ModuleSpec(name, loader, is_package=is_package)


def _find_submodule(name: str) -> ModuleSpec | None:
    # The package in place decides, so that original and replacement never mix.
    package = sys.modules.get(GANETI_NAME)
    if package is None or package is not sys.modules.get(OUR_NAME):
        return None
    if importlib.util.find_spec(_our_name(name)) is None:
        return None
    return _alias_spec(name)


def _warn_in_ganetis_log(message: str) -> None:
    """Log a warning where the administrator of this node looks.

    Ganeti's programs set up logging long after their imports, and throw earlier handlers away; so
    where there is no handler yet, the warning waits for the program's `SetupLogging`.
    """
    try:
        from ganeti import utils

        set_up = utils.SetupLogging
    except (ImportError, AttributeError):
        _LOGGER.warning(message)
        return
    root = logging.getLogger()
    if root.handlers:
        _LOGGER.warning(message)
        return
    pending = [message]

    @functools.wraps(set_up)
    def set_up_and_warn(*args: Any, **kwargs: Any) -> Any:
        result = set_up(*args, **kwargs)
        # A caller that brings a root logger of its own does not set up this process' log.
        if root.handlers and pending:
            if utils.SetupLogging is set_up_and_warn:
                utils.SetupLogging = set_up
            _LOGGER.warning(pending.pop())
        return result

    utils.SetupLogging = set_up_and_warn


def installed() -> Finder | None:
    """Give the finder that is at work in this process, if there is one."""
    return next((finder for finder in sys.meta_path if isinstance(finder, Finder)), None)


def install(enabled: int = 0, directory: str | None = None) -> Finder:
    """Let later imports of Ganeti's module in this process give ours; safe to call twice.

    `enabled` is the identity of the installation that was enabled, 0 for whichever this is, and
    `directory` where it is: for a package from elsewhere nothing is installed. Gives the
    finder at work, for the import that is going on just now.
    """
    if directory is not None and not installation.is_in(directory):
        aside = Finder()
        aside.failure = f"what is enabled is the installation in {directory}"
        return aside
    if (at_work := installed()) is not None:
        return at_work
    # The import system may be going through the list right now, and be at the trigger.
    after_trigger = (
        place
        for place, finder in enumerate(sys.meta_path, start=1)
        if hasattr(finder, TRIGGER_ATTRIBUTE)
    )
    finder = Finder(enabled)
    entry: Any = finder
    sys.meta_path.insert(next(after_trigger, 0), entry)
    return finder


def uninstall() -> None:
    """Undo `install`; what was imported in the meantime stays."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, Finder)]
