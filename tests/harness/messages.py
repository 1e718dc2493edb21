"""The texts that an operator may read: what the package's Python raises and logs.

    python -m harness.messages

lists each with its place. A text is given by its literal parts; what is filled in is left out.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "python/ganeti_hv_kvm"
_LOG_METHODS = ("warning", "error", "exception", "critical")
# Functions that make the text of an error: each text in them counts.
_EXPLAIN = ("_explain", "_why", "_failure", "report")
_HOLE = "\0"


@dataclass(frozen=True)
class Message:
    place: str
    kind: str  # "raise" or "log"
    parts: tuple[str, ...]

    @property
    def key(self) -> str:
        """Its longest literal part: what a document must have to be about this text."""
        return max(self.parts, key=len, default="")


def messages() -> Iterator[Message]:
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            kind, text = _of(node)
            if text is None:
                continue
            for one in text:
                parts = tuple(
                    part
                    for piece in re.split(rf"{_HOLE}|%[-+#0-9.]*[srdigfx]", one)
                    if len(part := " ".join(piece.split()).strip(" :;,.()")) >= 8
                )
                if parts:
                    place = f"{path.relative_to(PACKAGE)}:{node.lineno}"
                    yield Message(place, kind, parts)


def _of(node: ast.AST) -> tuple[str, list[str] | None]:
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
        return "raise", _texts(node.exc.args[0])
    if isinstance(node, ast.FunctionDef) and node.name in _EXPLAIN:
        values = [one.value for one in ast.walk(node) if isinstance(one, ast.Return) and one.value]
        values += [v for one in ast.walk(node) if isinstance(one, ast.Dict) for v in one.values]
        return "explain", [text for value in values for text in _texts(value) or []]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
        owner = ast.unparse(node.func.value).lower()
        if node.func.attr in _LOG_METHODS and ("log" in owner):
            return "log", _texts(node.args[0])
    return "", None


def _texts(node: ast.expr) -> list[str] | None:
    """The texts that an expression may give, holes marked; None where it is no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return ["".join(p.value if isinstance(p, ast.Constant) else _HOLE for p in node.values)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _texts(node.left) or [_HOLE], _texts(node.right) or [_HOLE]
        return [a + b for a in left for b in right]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return _texts(node.left)
    if isinstance(node, ast.IfExp):
        return [*(_texts(node.body) or []), *(_texts(node.orelse) or [])] or None
    return None


if __name__ == "__main__":
    for message in messages():
        print(f"{message.place}\t{message.kind}\t{' … '.join(message.parts)}", file=sys.stdout)
