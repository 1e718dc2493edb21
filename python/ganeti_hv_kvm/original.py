"""Ganeti's own KVM module, loaded beside ours under a name of its own.

It is needed where Ganeti has a hypervisor parameter that our module does not know: what builds a
QEMU for a guest with that parameter is left to Ganeti's own code.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

from .activation import GANETI_NAME

#: What the module is called here; ours keeps Ganeti's name for it.
PRIVATE_NAME = "ganeti_own_hv_kvm"


def load() -> ModuleType:
    """Import Ganeti's own module, once.

    Raises:
        ImportError: this Ganeti has none, or it cannot be imported; the text says why.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        # before Python's own, which would find the submodules by the package's path
        sys.meta_path.insert(0, _Finder())
    try:
        return importlib.import_module(PRIVATE_NAME)
    except ImportError:
        raise
    except Exception as err:
        raise ImportError(f"Ganeti's own KVM module fails: {type(err).__name__}: {err}") from err


def _private(name: str) -> str:
    """The private name of the module, or of one below it; any other name as it is."""
    if name == GANETI_NAME or name.startswith(GANETI_NAME + "."):
        return PRIVATE_NAME + name[len(GANETI_NAME) :]
    return name


class _RenameImports(ast.NodeTransformer):
    """The module names itself in full in its imports: these must not find ours."""

    def visit_Import(self, node: ast.Import) -> ast.Import:
        for alias in node.names:
            alias.name = _private(alias.name)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        parent, _, child = GANETI_NAME.rpartition(".")
        if node.level == 0 and node.module == parent:
            for alias in node.names:
                if alias.name == child:
                    raise ImportError(
                        f"Ganeti's own KVM module imports itself by 'from {parent} import"
                        f" {child}': it cannot be loaded beside another one"
                    )
        if node.level == 0 and node.module:
            node.module = _private(node.module)
        return node


class _Loader(SourceFileLoader):
    """Compiles anew each time: the byte code that Python keeps has the imports as they were."""

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_data(self.path)
        tree = _RenameImports().visit(ast.parse(source, self.path))
        return compile(tree, self.path, "exec", dont_inherit=True)


class _Finder:
    """Answers for the private name, and what lies below it, alone; one of ``sys.meta_path``."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname == PRIVATE_NAME:
            parent: Any = importlib.import_module(GANETI_NAME.rpartition(".")[0])
            path = parent.__path__
        elif not fullname.startswith(PRIVATE_NAME + "."):
            return None
        found = PathFinder.find_spec(_ganetis_name(fullname), path)
        if found is None or not found.origin or not found.origin.endswith(".py"):
            return None
        return importlib.util.spec_from_file_location(
            fullname,
            found.origin,
            loader=_Loader(fullname, found.origin),
            submodule_search_locations=found.submodule_search_locations,
        )


def _ganetis_name(private_name: str) -> str:
    return GANETI_NAME + private_name[len(PRIVATE_NAME) :]
