"""mem_path on a node with huge pages, and on one with too few: real ones."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ganeti import errors

from harness import instance, migrants, node, paths, two_nodes
from system.migration.conftest import make, qemu

__all__ = ["make", "qemu"]

NAME = "huge1.example.com"
PAGES = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
#: MiB. In 32 the guest's kernel resets the machine many times a second, and of one that does so in
#: the moment in which it has left, QEMU says "prelaunch" in place of "postmigrate".
MEMORY = 96


@pytest.fixture
def folder(tmp_path) -> Iterator[Path]:
    made = tmp_path / "huge"
    made.mkdir()
    subprocess.run(["mount", "-t", "hugetlbfs", "none", str(made)], check=True)
    yield made
    subprocess.run(["umount", str(made)], check=True)


@pytest.fixture
def pages() -> Iterator[Callable[[int], None]]:
    """Sets how many the host has; afterwards it has what it had."""
    before = PAGES.read_text()

    def have(count: int) -> None:
        PAGES.write_text(f"{int(before) + count}\n")
        if int(PAGES.read_text()) < int(before) + count:
            pytest.skip("this host has no memory for huge pages")

    yield have
    PAGES.write_text(before)


def words(hypervisor) -> list[str]:
    pid = hypervisor.GetInstanceInfo(NAME)[1]
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def test_they_are_used_where_there_are_enough(hypervisor, folder, pages):
    pages(MEMORY // 2)
    made = instance.instance(NAME, memory=MEMORY, mem_path=str(folder), fail_on_no_hp=True)
    hypervisor.StartInstance(made, [], True)
    assert str(folder) in words(hypervisor)
    hypervisor.StopInstance(made, force=True)
    hypervisor.CleanupInstance(NAME)


def test_too_few_of_them(hypervisor, folder, nothing_left):
    wanted = {"memory": MEMORY, "mem_path": str(folder)}
    strict = instance.instance(NAME, **wanted, fail_on_no_hp=True)
    with pytest.raises(errors.HypervisorError, match="fail_on_no_hp is on"):
        hypervisor.StartInstance(strict, [], True)
    nothing_left()

    hypervisor.StartInstance(instance.instance(NAME, **wanted, fail_on_no_hp=False), [], True)
    assert "-mem-path" not in words(hypervisor)
    # where there are enough it has them again
    assert "-mem-path" in Path(hypervisor._InstanceKVMRuntime(NAME)).read_text()


@pytest.fixture(scope="module")
def nodes(bridge: str) -> Iterator[two_nodes.Pair]:
    with two_nodes.pair(("next", node.OURS), ("next", node.OURS)) as made:
        yield made


@pytest.mark.parametrize(
    "qemu",
    [pytest.param(paths.QEMU, marks=pytest.mark.long), paths.QEMU_10],
    ids=["7.2", "10.0"],
    indirect=True,
)
def test_a_guest_goes_where_there_are_too_few_and_back(folder, pages, nodes, make):
    pages(MEMORY // 2)
    wanted = {"memory": MEMORY, "mem_path": str(folder), "fail_on_no_hp": False}
    guest = make(nodes, **wanted, **migrants.ONE_PASS)
    name = guest["name"]

    def huge(remote: two_nodes.RemoteNode) -> bool:
        return "-mem-path" in Path(f"/proc/{remote.pid(name)}/cmdline").read_text().split("\0")

    assert huge(nodes.source)
    # its own memory is all that there is of them
    nodes.migrate(guest)
    assert not huge(nodes.target)
    nodes.reversed().migrate(guest)
    assert huge(nodes.source)
    assert nodes.run_states(name) == ("running", "gone")
    migrants.end(nodes.source, guest)
