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

# A room may import from those with a smaller number, and from itself. What lies directly in hv_kvm
# has a name that Ganeti gave, and a place in the same order.
FLOORS = {
    "ganeti": 0,
    "kvm_utils": 0,
    "firmware": 0,
    "devices": 1,
    "bus_manager": 2,
    "qemu": 3,
    "monitor": 4,
    "netdev": 4,
    "types": 4,
    "command_line": 5,
    "kvm_runtime": 6,
    "guest": 7,
    "host": 8,
    "validation": 9,
    "lifecycle": 10,
    "hotplug": 11,
    "migration": 11,
    "historic_names": 12,
    "hypervisor": 13,
}
# The class and its parts: imported by it and by their own package alone.
FACADE = {"hypervisor"}
MIXINS = {"historic_names", "hotplug.facade", "hotplug.growth_facade", "migration.facade"}
NATIVE = {
    "monitor",
    "netdev",
    "qemu.fleet",
    "qemu.verbs.devices",
    "qemu.verbs.disks",
    "guest.process",
}

# What the command line is made of: all pure, as it is itself.
PURE = {
    "command_line",
    "devices",
    "firmware",
    "ganeti.block_devices",
    "ganeti.boot_type",
    "ganeti.generation",
    "ganeti.guest_options",
    "ganeti.hvparams",
    "kvm_utils",
    "qemu.facts",
}
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
    assert {"lifecycle.start", "lifecycle.reboot", "lifecycle.stop"} <= GRAPH["hypervisor"]
    assert "command_line.boot" in GRAPH["command_line.storage"]
    assert "command_line.option" in GRAPH["command_line.boot"]
    assert "kvm_utils" in GRAPH["command_line.option"]


def test_imports_only_point_down() -> None:
    """There is an order of all modules in which each comes after what it imports."""
    try:
        list(TopologicalSorter(GRAPH).static_order())
    except CycleError as err:
        pytest.fail(f"in a circle: {' -> '.join(err.args[1])}")


def _room(name: str) -> str:
    return name.partition(".")[0]


def test_each_room_has_its_floor() -> None:
    assert {_room(name) for name in MODULES} == set(FLOORS)
    wrong = [
        f"{name} imports {other}"
        for name in MODULES
        for other in GRAPH[name]
        if _room(other) != _room(name) and FLOORS[_room(other)] >= FLOORS[_room(name)]
    ]
    assert wrong == []


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
    rooms = {"devices", "ganeti", "qemu"}  # named as packages, on the way to their modules
    below = {other for other in GRAPH[name] if other not in rooms}
    assert {other for other in below if not {other, _room(other)} & PURE} == set()
    foreign = {full.partition(".")[0] for full in imported(name)} - {"ganeti_hv_kvm"}
    assert foreign <= HARMLESS
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(MODULES[name].read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert "open" not in calls


# The operator's command: from the bottom up, as its package says.
CLI_FLOORS = (
    "frame",
    "node",
    "interpreter",
    "site_hook",
    "ganeti_child",
    "tags",
    "why",
    "qmp",
    "doctor",
    "bundle",
    "enabling",
    "commands",
    "program",
)


def test_the_command_has_floors_and_needs_no_ganeti() -> None:
    wrong = []
    for file in (PYTHON / "cli").rglob("*.py"):
        room = file.relative_to(PYTHON / "cli").with_suffix("").parts[0]
        # the front door, and what runs elsewhere
        if room in ("__init__", "probe", "with_ganeti"):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            for full in _named(node):
                other = full.removeprefix("ganeti_hv_kvm.cli.").partition(".")[0]
                if full.startswith("ganeti_hv_kvm.cli."):
                    is_wrong = CLI_FLOORS.index(other) > CLI_FLOORS.index(room)
                else:
                    is_wrong = full.partition(".")[0] == "ganeti"
                if is_wrong:
                    wrong.append(f"{file.name} imports {full}")
    assert wrong == []


def _named(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        if node.module == "ganeti_hv_kvm.cli":
            return [f"{node.module}.{alias.name}" for alias in node.names]
        return [node.module or ""]
    return []


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


def test_files_are_opened_with_a_codec_that_is_there() -> None:
    """A start with no memory for a look at encodings/ascii.py failed with a bare LookupError."""
    named = {
        (str(file.relative_to(PYTHON)), keyword.value.value)
        for file in PYTHON.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "encoding" and isinstance(keyword.value, ast.Constant)
    }
    assert named
    assert {one for one in named if one[1] != "utf-8"} == set()


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
