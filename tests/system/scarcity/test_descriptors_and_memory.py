"""A node daemon with few descriptors, no memory, or signals that are not what they should be."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from system.scarcity.conftest import NAME, Bench, in_child


def descriptors(free: int) -> Callable[[], None]:
    """Leaves so many."""

    def take() -> None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        # numbers are given from the lowest on: those below that are free must go, too
        highest = max(map(int, os.listdir("/proc/self/fd")))
        for _ in range(highest):
            descriptor = os.open("/dev/null", os.O_RDONLY)
            if descriptor > highest:
                os.close(descriptor)
                break
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + free, hard))

    return take


def memory(mebibytes: int) -> Callable[[], None]:
    """Leaves so much address space more than is in use."""

    def take() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        now = pages * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (now + (mebibytes << 20), hard))

    return take


def ignore_children() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def block_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


FEW = (0, 1, 2, 3, 5, 8, 11)
TIGHT = [descriptors(free) for free in FEW] + [memory(mebibytes) for mebibytes in (0, 1, 8)]
IDS = [f"{free} descriptors" for free in FEW] + [f"{size} MiB" for size in (0, 1, 8)]


@pytest.mark.parametrize("take", TIGHT, ids=IDS)
def test_a_start_happens_or_leaves_nothing(bench: Bench, take: Callable[[], None]) -> None:
    outcome = in_child(bench.start, take=take)
    assert outcome.is_right, outcome
    if outcome.kinds:
        assert bench.left() == [], outcome
        bench.start()
    assert bench.names() == [NAME]


@pytest.mark.parametrize("take", TIGHT, ids=IDS)
def test_a_guest_that_runs_is_listed_or_the_listing_fails(
    bench: Bench, take: Callable[[], None]
) -> None:
    bench.start()
    for listing, wanted in (
        (bench.names, [NAME]), (bench.infos, [NAME]), (bench.info, NAME)
    ):  # fmt: skip
        outcome = in_child(listing, take=take)
        assert outcome.is_right, outcome
        assert outcome.kinds or outcome.value == wanted, outcome


@pytest.mark.parametrize("take", TIGHT, ids=IDS)
def test_nothing_of_a_guest_that_runs_is_removed(bench: Bench, take: Callable[[], None]) -> None:
    bench.start()
    pid, before = bench.qemu(), bench.left()
    for request in (
        bench.clean_up,
        bench.start,
        lambda: bench.hypervisor.FinalizeMigrationSource(bench.guest, True, True),
        lambda: bench.hypervisor.FinalizeMigrationSource(bench.guest, False, True),
        lambda: bench.hypervisor.FinalizeMigrationDst(bench.guest, "[[]]", False),
    ):
        outcome = in_child(request, take=take)
        assert outcome.is_right, outcome
        assert bench.qemu() == pid
        assert bench.left() == before, outcome


@pytest.mark.parametrize("take", TIGHT, ids=IDS)
def test_a_guest_that_is_stopped_has_ended_or_it_is_an_error(
    bench: Bench, take: Callable[[], None]
) -> None:
    bench.start()
    outcome = in_child(bench.stop, take=take)
    assert outcome.is_right, outcome
    if outcome.kinds:
        bench.stop()
    assert bench.names() == []
    outcome = in_child(bench.clean_up, take=take)
    assert outcome.is_right, outcome
    if outcome.kinds:
        bench.clean_up()
    assert bench.left() == []


@pytest.mark.parametrize("take", TIGHT, ids=IDS)
def test_a_device_is_added_or_nothing_is(bench: Bench, take: Callable[[], None]) -> None:
    bench.start()
    for add in (bench.add_nic, bench.add_disk):
        before = bench.left()
        outcome = in_child(add, take=take)
        assert outcome.is_right, outcome
        if outcome.kinds:
            assert bench.left() == before, outcome
            add()


@pytest.mark.parametrize("take", [ignore_children, block_signals])
def test_a_life_with_strange_signals(bench: Bench, take: Callable[[], None]) -> None:
    for request in (bench.start, bench.add_nic, bench.names, bench.reboot, bench.stop):
        outcome = in_child(request, take=take)
        assert not outcome.kinds, outcome
        assert bench.names() == ([] if request == bench.stop else [NAME])
    bench.clean_up()
    assert bench.left() == []


def test_a_qemu_that_fails_is_seen_to_where_children_are_ignored(bench: Bench) -> None:
    bench.guest.hvparams["kvm_extra"] = "-no-such-switch"
    outcome = in_child(bench.start, take=ignore_children)
    assert "no-such-switch" in outcome.text
    assert bench.left() == []
