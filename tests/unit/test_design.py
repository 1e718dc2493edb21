"""The rules of ARCHITECTURE.md that a machine can check."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from harness import paths

PYTHON = paths.PROJECT / "python/ganeti_hv_kvm"
HV_KVM = PYTHON / "hv_kvm"
RUST = paths.PROJECT / "src"

MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 60

# The façade is on top, alone with the methods that it gets from rooms of their own; the lists say
# who may be imported by it and by each other only.
FACADE = {"hypervisor"}
MIXINS = {"private_names", "launch_names", "hotplug.facade", "migration.facade"}
NATIVE = {"monitor", "netdev", "fleet", "instance_process"}

# What the command line is made of: all pure, as it is itself.
PURE = {"command_line", "compat", "devices", "kvm_utils", "q35", "qemu_binary"}
# Modules of the system that only look at names, or not even that.
HARMLESS = {
    "__future__",
    "collections",
    "dataclasses",
    "itertools",
    "json",
    "logging",
    "typing",
    "re",
    "ganeti",
}


def modules() -> dict[str, Path]:
    """Each module of hv_kvm: its name below the package."""
    found = {}
    for file in sorted(HV_KVM.rglob("*.py")):
        parts = file.relative_to(HV_KVM).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if name:
            found[name] = file
    return found


MODULES = modules()


def _is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"


def _imports_at_start(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """Those that run when the module is imported; not those that are for type checkers."""
    waiting: list[ast.AST] = [node for node in tree.body if not _is_for_types(node)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif not isinstance(node, ast.FunctionDef):
            waiting += [
                child
                for child in ast.iter_child_nodes(node)
                if not _is_for_types(child)  # type: ignore[arg-type]
            ]


def _absolute(name: str, file: Path, node: ast.ImportFrom) -> list[str]:
    """Full names of what a ``from`` statement may import."""
    base = node.module or ""
    if node.level:
        package = f"ganeti_hv_kvm.hv_kvm.{name}".split(".")
        if file.name != "__init__.py":
            package.pop()
        package = package[: len(package) - (node.level - 1)]
        base = ".".join([*package, *([base] if base else [])])
    return [base, *(f"{base}.{alias.name}" for alias in node.names)]


def imported(name: str) -> set[str]:
    """Full names of all that a module imports, members of modules included."""
    file = MODULES[name]
    found: set[str] = set()
    for node in _imports_at_start(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        else:
            found |= set(_absolute(name, file, node))
    return found


def siblings(name: str) -> set[str]:
    """The modules of hv_kvm that a module imports, without packages that merely hold them."""
    prefix = "ganeti_hv_kvm.hv_kvm."
    named = {full.removeprefix(prefix) for full in imported(name) if full.startswith(prefix)}
    return {
        other
        for other in named
        if other in MODULES and not (name.startswith(f"{other}.") or other == name)
    }


GRAPH: Mapping[str, set[str]] = {name: siblings(name) for name in MODULES}


def test_the_graph_is_read_rightly() -> None:
    assert {"launch", "reboot", "shutdown"} <= GRAPH["hypervisor"]
    assert "command_line.boot" in GRAPH["command_line.storage"]
    assert "command_line.option" in GRAPH["command_line.boot"]
    assert "kvm_utils" in GRAPH["command_line.option"]


def test_imports_only_point_down() -> None:
    """There is an order of all modules in which each comes after what it imports."""
    try:
        list(TopologicalSorter(GRAPH).static_order())
    except CycleError as err:
        pytest.fail(f"in a circle: {' -> '.join(err.args[1])}")


def test_nobody_imports_the_facade() -> None:
    above = FACADE | MIXINS
    wrong = {
        name: sorted(GRAPH[name] & above)
        for name in MODULES
        if name not in above and GRAPH[name] & above
    }
    # a package of a mixin offers it
    allowed = {mixin.partition(".")[0]: [mixin] for mixin in MIXINS if "." in mixin}
    assert {name: found for name, found in wrong.items() if allowed.get(name) != found} == {}


def test_only_these_talk_to_rust() -> None:
    native = {
        name
        for name in MODULES
        if any(full.startswith("ganeti_hv_kvm._native") for full in imported(name))
    }
    assert native == NATIVE


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("command_line")])
def test_the_command_line_is_pure(name: str) -> None:
    tops = {other.partition(".")[0] for other in GRAPH[name]}
    assert tops <= PURE
    foreign = {full.partition(".")[0] for full in imported(name)} - {"ganeti_hv_kvm"}
    assert foreign <= HARMLESS
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(MODULES[name].read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert "open" not in calls


def sources() -> list[Path]:
    return [
        *PYTHON.rglob("*.py"),
        *(paths.PROJECT / "tests").rglob("*.py"),
        *RUST.rglob("*.rs"),
        *(paths.PROJECT / "tests/rust").rglob("*.rs"),
    ]


def test_rooms_are_not_too_full() -> None:
    # tests of one thing may be many
    lines = {
        str(file.relative_to(paths.PROJECT)): len(file.read_text().splitlines())
        for file in sources()
        if "tests/rust" not in str(file)
    }
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_functions_fit_on_a_screen() -> None:
    too_long = [
        f"{file.relative_to(PYTHON)}: {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for file in PYTHON.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > MOST_LINES_OF_A_FUNCTION
    ]
    assert too_long == []


def rust_code(file: Path) -> str:
    """The file without its tests, comments and texts."""
    code = file.read_text().partition("#[cfg(test)]")[0]
    code = re.sub(r'"(?:\\.|[^"\\])*"', '""', code)
    return re.sub(r"//[^\n]*", "", code)


@pytest.mark.parametrize(
    "file", sorted(RUST.rglob("*.rs")), ids=lambda file: str(file.relative_to(RUST))
)
def test_rust_never_panics_by_itself(file: Path) -> None:
    code = rust_code(file)
    # `self.expect(` is a method of our own
    found = re.findall(
        r"\.unwrap\(\)|\.unwrap_err\(\)|(?<!self)\.expect(?:_err)?\("
        r"|\b(?:panic|todo|unimplemented|unreachable)!",
        code,
    )
    assert found == []


def test_unsafe_is_in_one_file_and_explained() -> None:
    users = {
        str(file.relative_to(RUST))
        for file in RUST.rglob("*.rs")
        if re.search(r"\bunsafe\b(?!_code)", rust_code(file))
    }
    assert users == {"tap/ioctl.rs"}
    text = (RUST / "tap/ioctl.rs").read_text()
    blocks = re.findall(r"(?:^\s*//.*\n)*^.*\bunsafe \{", text, re.M)
    assert blocks
    assert all("SAFETY:" in block for block in blocks)
