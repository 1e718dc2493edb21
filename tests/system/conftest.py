"""A private bridge, our hypervisor, and the check that a test left nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import leftovers, node, paths


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The wheel as it would be released, made of the sources as they are."""
    subprocess.run(["make", "wheel"], cwd=paths.PROJECT, check=True, stdout=subprocess.DEVNULL)
    return max((paths.WORK / "dist").glob("*.whl"), key=lambda path: path.stat().st_mtime)


@pytest.fixture(scope="session")
def bridge() -> str:
    if not os.path.exists(f"/sys/class/net/{node.BRIDGE}"):
        node.make_bridge()
    return node.BRIDGE


@pytest.fixture
def hypervisor(bridge: str) -> Iterator[object]:
    """Our hypervisor object on an otherwise empty node; whatever a test leaves fails it."""
    from ganeti_hv_kvm.hv_kvm import KVMHypervisor
    from ganeti_hv_kvm.hv_kvm.migration import departure

    made = KVMHypervisor()
    run_folder = Path(KVMHypervisor._ROOT_DIR)
    before = leftovers.take(run_folder)
    yield made
    for name in made.ListInstances():
        made.StopInstance(None, force=True, name=name)
        made.CleanupInstance(name)
    # outlives the instance's files on purpose; the next test may use the name
    for name in departure.names():
        departure.forget(name)
    after = leftovers.take(run_folder)
    # one test's fault must not become that of all that follow
    for process in after.processes - before.processes:
        os.kill(int(process.split()[1]), signal.SIGKILL)
    assert after.added_since(before) == []


@pytest.fixture
def nothing_left(hypervisor):
    """A function that asserts that this node is as it was when the test began."""
    run_folder = Path(type(hypervisor)._ROOT_DIR)
    before = leftovers.take(run_folder)

    def check() -> None:
        assert leftovers.take(run_folder).added_since(before) == []

    return check
