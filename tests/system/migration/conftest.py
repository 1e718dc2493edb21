"""Two virtual nodes with our module, and guests of which nothing may be left."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness import leftovers, migrants, node, paths, two_nodes

_numbers = itertools.count()
# What is given to QEMU's monitor does not depend on Ganeti's generation: once is enough.
if os.environ.get("GANETI_UNDER_TEST", "3.0") != "3.0":
    collect_ignore = [
        "test_faulty_monitors.py",
        "test_aborts.py",
        "test_encrypted.py",
        "test_channels.py",
        "test_restless.py",
    ]
if os.environ.get("GANETI_UNDER_TEST", "3.0") != "3.1":
    collect_ignore = [*globals().get("collect_ignore", []), "test_from_debian_12.py"]
Make = Callable[..., two_nodes.Wanted]


@pytest.fixture(scope="session")
def generation() -> str:
    return os.environ.get("GANETI_UNDER_TEST", "3.0")


@pytest.fixture(scope="session")
def nodes(generation: str, bridge: str) -> Iterator[two_nodes.Pair]:
    ours = (generation, node.OURS)
    with two_nodes.pair(ours, ours) as made:
        yield made


@pytest.fixture
def impatient_nodes(generation: str, bridge: str) -> Iterator[two_nodes.Pair]:
    """They wait 2 s for an answer to a question about a migration."""
    ours = (generation, node.OURS)
    with two_nodes.pair(ours, ours, GANETI_HV_KVM_MIGRATION_TIMEOUT="2") as made:
        yield made


@pytest.fixture
def qemu(request: pytest.FixtureRequest) -> str:
    """The QEMU of the guests; a test may ask for another one, or for each in turn."""
    return str(getattr(request, "param", paths.QEMU))


@pytest.fixture
def make(qemu: str) -> Iterator[Make]:
    """Makes a guest on a pair's source; in the end it is gone from both nodes, with all files."""
    made: list[tuple[two_nodes.Pair, two_nodes.Wanted]] = []
    interfaces = set(os.listdir("/sys/class/net"))

    def begin(
        pair: two_nodes.Pair, *, paused: bool = False, start: str = "StartInstance", **wanted: Any
    ) -> two_nodes.Wanted:
        # Its kernel need not come up: QEMU says "running" from the start.
        name = f"m{next(_numbers)}.example.com"
        wanted = {"name": name, "memory": 96, "kvm_path": qemu, **wanted}
        made.append((pair, wanted))
        pair.source.call(start, wanted, *([paused] if paused else []))
        return wanted

    yield begin
    left = []
    for pair, wanted in made:
        for remote in (pair.source, pair.target):
            migrants.end(remote, wanted)
            left += remote.files()
    assert left == []
    assert set(os.listdir("/sys/class/net")) == interfaces
    assert not list(leftovers._qemu_processes())
