"""What the stub says of the native module; that it has all of it, tests/native/test_contract.py."""

from __future__ import annotations

import ast
import builtins
import re

import pytest

from ganeti_hv_kvm import _native, errors
from harness import paths

STUB = ast.parse((paths.PROJECT / "python/ganeti_hv_kvm/_native.pyi").read_text())
#: Sections of Google's form, as far as they are used.
_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises):$", re.MULTILINE)


def _said_of_values(body: list[ast.stmt]) -> dict[str, str]:
    """The text behind each annotated name; "" where there is none."""
    said = {}
    for one, behind in zip(body, [*body[1:], None], strict=True):
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            is_text = isinstance(behind, ast.Expr) and isinstance(behind.value, ast.Constant)
            said[one.target.id] = str(behind.value.value) if is_text else ""
    return said


def _is_setter(node: ast.FunctionDef) -> bool:
    return any(isinstance(one, ast.Attribute) for one in node.decorator_list)


def _functions() -> dict[str, ast.FunctionDef]:
    """Those of the export list, and the public methods and constructors of its classes."""
    found = {}
    for node in STUB.body:
        if isinstance(node, ast.FunctionDef) and node.name in _native.__all__:
            found[node.name] = node
        if isinstance(node, ast.ClassDef) and node.name in _native.__all__:
            for one in node.body:
                if not isinstance(one, ast.FunctionDef) or _is_setter(one):
                    continue
                if one.name == "__new__" or not one.name.startswith("_"):
                    found[f"{node.name}.{one.name}"] = one
    return found


FUNCTIONS = _functions()
CLASSES = {
    one.name: one
    for one in STUB.body
    if isinstance(one, ast.ClassDef) and one.name in _native.__all__
}
VALUES = {
    name: said for name, said in _said_of_values(STUB.body).items() if name in _native.__all__
}


def test_all_are_looked_at():
    public = {name for name in FUNCTIONS if "." not in name} | set(CLASSES) | set(VALUES)
    assert public == set(_native.__all__)
    assert len(FUNCTIONS) > 50


@pytest.mark.parametrize("name", sorted([*FUNCTIONS, *CLASSES]))
def test_each_says_what_it_is(name):
    said = ast.get_docstring({**FUNCTIONS, **CLASSES}[name]) or ""
    summary = said.partition("\n")[0]
    assert summary.endswith("."), f"{name}: {said!r}"


def test_each_value_says_what_it_is():
    in_classes = {
        f"{name}.{value}": said
        for name, node in CLASSES.items()
        for value, said in _said_of_values(node.body).items()
        if not value.startswith("_") and value not in (ast.get_docstring(node) or "")
    }
    assert [name for name, said in {**VALUES, **in_classes}.items() if not said] == []


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_each_argument_is_told_of(name):
    node, said = FUNCTIONS[name], ast.get_docstring(FUNCTIONS[name]) or ""
    if re.match(r"`\w+`, by its name in Ganeti", said):
        return  # told of there
    arguments = [
        one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    ]
    told = _sections(said).get("Args", "")
    unsaid = [
        one
        for one in arguments
        if one not in ("self", "cls") and not re.search(rf"^{one}: ", told, re.MULTILINE)
    ]
    if len(arguments) <= 2 and unsaid and "Args" not in _sections(said):
        # one alone may be told of by the summary
        assert len(unsaid) == 1, f"{name} does not tell of {unsaid}"
        return
    assert unsaid in ([], ["exc_type", "exc_value", "tb"]), f"{name} does not tell of {unsaid}"


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_what_is_raised_are_errors(name):
    said = _sections(ast.get_docstring(FUNCTIONS[name]) or "").get("Raises", "")
    for error in re.findall(r"^(\w+):", said, re.MULTILINE):
        found = getattr(errors, error, None) or getattr(builtins, error, None)
        assert isinstance(found, type), f"{name} raises {error}, which is nothing"
        assert issubclass(found, Exception)


def _sections(said: str) -> dict[str, str]:
    """Each section's text, with its entries at the beginning of their lines."""
    _, *parts = _SECTION.split(said)
    return {
        head: re.sub(r"^ {4}", "", text, flags=re.MULTILINE)
        for head, text in zip(parts[::2], parts[1::2], strict=True)
    }
