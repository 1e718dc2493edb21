"""docs/compatibility.md is what the code says of itself: each name of the originals, and ours.

After a change run this file with GANETI_HV_KVM_WRITE_DOCS=1 in the environment.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from harness import node, paths, upstream

DOCUMENT = paths.PROJECT / "docs/compatibility.md"
_RECORDED = paths.PROJECT / "tests/data/compatibility"
_LISTER = paths.PROJECT / "tests/harness/module_names.py"
_WRITE = "GANETI_HV_KVM_WRITE_DOCS"

# A generation, and the Ganeti under which ours is compared with it.
GENERATIONS = {"2.6": "3.0", "3.0": "3.0", "3.1": "3.1", upstream.GENERATION: upstream.GENERATION}

#: Public or test-pinned names that are not here, and why.
ABSENT = {
    r"hv_kvm\.monitor\.\w+\.(send|recv|reset_timeout)": (
        "bytes and time limits belong to the connection in Rust"
    ),
    r"hv_kvm\.monitor\.QmpConnection\._DEVICE_ATTRIBUTES": "what QEMU gets is `hvinfo` as it is",
    r"hv_kvm\.KVMHypervisor\._MIGRATION_INFO_\w+": (
        "no answer counts as a bad one that is asked for again"
    ),
    r"hv_kvm\.KVMHypervisor\._\w+_RE|hv_kvm\.validation\._VERSION_RE": (
        "`qemu.facts` reads what QEMU says of itself, once"
    ),
    r"hv_kvm\.KVMHypervisor\._(CPU_INFO|INFO_VERSION)_CMD": "QMP tells it",
    r"hv_kvm\.KVMHypervisor\._VIRTIO\w*": "a word of the command line",
    r"hv_kvm\.KVMHypervisor\._DEFAULT_\w+_RESERVATIONS": "`_GetBusSlots()` gives the places",
    r"hv_kvm\._(FIND_RUNTIME_ENTRY|RUNTIME_DEVICE|RUNTIME_ENTRY)": (
        "`_GetExistingDeviceInfo` looks into a runtime"
    ),
    r"hv_kvm\.kvm_runtime\._(DEVICE_DRIVER|DEVICE_TYPE|PCI_BUS)": "in `hv_kvm` itself",
    r"hv_kvm\.kvm_utils\._BLOCKDEV_URI_REGEX_\w+": "`ParseStorageUriToBlockdevParam` is the way",
}

_HEAD = """# Names of the originals, and where they live here

Made from the code by `tests/unit/test_compatibility.py`, which fails when this file is stale. Rows
are the public names of Ganeti's KVM module in each of its generations, its constants, and whatever
else Ganeti's own tests reach. 3.0 and 3.1 are read from the installed code; 2.6 and the development
version ("dev") from lists, as they are not packaged.

A signature is the "same", or there is "more" (what the original takes is taken as well, the rest
is optional), or both are shown. Modules are below `ganeti_hv_kvm`; each name answers to Ganeti's
name of it, too.
"""


@dataclass(frozen=True)
class Name:
    """A name with its signature, if it can be called, and its module."""

    signature: str | None
    module: str


@cache
def listed(generation: str, side: str) -> dict[str, Name]:
    command = [sys.executable, str(_LISTER), generation, side]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name: Name(*value) for name, value in json.loads(done.stdout).items()}


@cache
def pinned_words() -> frozenset[str]:
    """All words of Ganeti's own tests of this module."""
    texts = [
        file.read_text()
        for suite in paths.GANETI_SUITE.values()
        for file in suite.rglob("*.py")
        if "kvm" in str(file.relative_to(suite))
    ]
    assert texts, "Ganeti's test suites are not there; run `make setup`"
    return frozenset(re.findall(r"\w+", "\n".join(texts)))


def _is_wanted(name: str, value: Name) -> bool:
    last = name.rpartition(".")[2]
    is_constant = value.signature is None and last.isupper()
    return not last.startswith("_") or last in pinned_words() or is_constant


def originals(generation: str) -> dict[str, Name]:
    """The names that count, each once: a class's members below the module that defines it."""
    recorded = _RECORDED / f"{generation}.json"
    if recorded.exists():
        names = json.loads(recorded.read_text())
        return {name: Name(signature, "") for name, signature in names.items()}
    found = listed(generation, node.ORIGINAL)
    elsewhere = tuple(
        f"{name}."
        for name, value in found.items()
        if f"hv_kvm.{value.module.rpartition('.')[2]}"
        not in (name.rpartition(".")[0], "hv_kvm.hv_kvm")
        and name.count(".") == 1
    )
    return {
        name: value
        for name, value in found.items()
        if _is_wanted(name, value) and not name.startswith(elsewhere)
    }


def difference(theirs: str | None, ours: str | None) -> str:
    """How our signature relates to theirs."""
    if theirs is None or ours is None:
        return ""
    if theirs == ours or theirs == ours.replace("(/)", "()"):
        return "same"
    first, rest = _parameters(theirs), _parameters(ours)
    added = rest[len(first) :]
    if rest[: len(first)] == first and all("=" in word or word == "*" for word in added):
        return f"more: `{', '.join(word for word in added if word != '*')}`"
    return f"`{ours}`; theirs: `{theirs}`"


def _parameters(signature: str) -> list[str]:
    return [word for word in re.split(r", (?![^(]*\))", signature[1:-1]) if word and word != "/"]


def missing(generation: str) -> Iterator[str]:
    ours = listed(GENERATIONS[generation], node.OURS)
    return (name for name in originals(generation) if name not in ours)


def _reason(name: str) -> str | None:
    reasons = (why for pattern, why in ABSENT.items() if re.fullmatch(pattern, name))
    return next(reasons, None)


def rows() -> Iterator[tuple[str, list[str], str, str]]:
    """(name, generations, where, how it differs), names in order; one row for each difference."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for generation, under in GENERATIONS.items():
        ours = listed(under, node.OURS)
        for name, theirs in originals(generation).items():
            here = ours.get(name)
            where = here.module.removeprefix("ganeti_hv_kvm.") if here else "-"
            differs = difference(theirs.signature, here.signature) if here else f"{_reason(name)}"
            found.setdefault((name, where, differs), []).append(generation)
    for name, where, differs in sorted(found):
        yield name, found[name, where, differs], where, differs


def document() -> str:
    lines = [_HEAD, "| name | in | module | signature |", "|--|--|--|--|"]
    for name, generations, where, differs in rows():
        place = where if where == "-" else f"`{where}`"
        cells = (f"`{name}`", ", ".join(generations), place, differs.replace("|", "\\|"))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("generation", GENERATIONS)
def test_each_name_is_here_or_has_a_reason(generation: str) -> None:
    assert [name for name in missing(generation) if _reason(name) is None] == []


def test_each_reason_is_needed() -> None:
    absent = {name for generation in GENERATIONS for name in missing(generation)}
    unused = [
        pattern for pattern in ABSENT if not any(re.fullmatch(pattern, name) for name in absent)
    ]
    assert unused == []


def test_the_names_are_found_at_all() -> None:
    assert "hv_kvm.KVMHypervisor.StartInstance" in originals("3.0")
    assert "hv_kvm.monitor.QmpConnection.execute_qmp" in originals("3.1")
    # Ganeti's tests replace this one
    assert "hv_kvm.KVMHypervisor._ConfigureNIC" in originals("3.0")
    assert "hv_kvm.KVMHypervisor._RunKVMCmd" not in originals("3.0")
    # a site may read this one
    assert "hv_kvm._MIGRATION_CAPS_DELIM" in originals("3.1")


@pytest.mark.parametrize(
    ("theirs", "ours", "said"),
    [
        ("(a, b=1)", "(a, b=1)", "same"),
        ("()", "(/)", "same"),
        ("(a)", "(a, b=None)", "more: `b=None`"),
        ("(a)", "(a, *, t=1.0, f=())", "more: `t=1.0, f=()`"),
        ("(a)", "(a, b)", "`(a, b)`; theirs: `(a)`"),
        (None, "(a)", ""),
    ],
)
def test_differences(theirs: str | None, ours: str, said: str) -> None:
    assert difference(theirs, ours) == said


def test_the_document_is_as_the_code() -> None:
    wanted = document()
    if os.environ.get(_WRITE):
        Path(DOCUMENT).write_text(wanted)
    assert DOCUMENT.read_text() == wanted, f"stale; run this test with {_WRITE}=1"
