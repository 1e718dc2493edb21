"""GetAllInstancesInfo: every guest that runs, none that does not, whatever state they are in."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ganeti_hv_kvm._native import QmpConnection
from ganeti_hv_kvm.hv_kvm.ganeti import settings
from harness import idle_guests
from harness.idle_guests import IdleGuest

pytestmark = [pytest.mark.qemu, pytest.mark.only_3_1]
SHORT = 1.0
LONG = 30.0


@pytest.fixture
def start(hypervisor) -> Iterator[Callable[..., list[IdleGuest]]]:
    with ExitStack() as stack:

        def begin(count: int, **options) -> list[IdleGuest]:
            folder = Path(type(hypervisor)._ROOT_DIR)
            return stack.enter_context(idle_guests.running(folder, count, **options))

        yield begin


def seconds_of(step: Callable[[], object]) -> float:
    before = time.monotonic()
    step()
    return time.monotonic() - before


def as_started(guest: IdleGuest, vcpus: int) -> tuple[object, ...]:
    from ganeti.hypervisor import hv_base

    running = hv_base.HvInstanceState.RUNNING
    return (guest.name, guest.process.pid, idle_guests.MEMORY, vcpus, running, 0)


def names(listed: list[tuple[object, ...]]) -> list[object]:
    return [info[0] for info in listed]


def test_what_qemu_tells_counts(hypervisor, start):
    pcs = start(2, machine=idle_guests.PC, prefix="pc")
    # without a machine there is no CPU, whatever the command line says
    others = start(2, prefix="none")
    expected = [as_started(guest, 0) for guest in others] + [as_started(pc, 2) for pc in pcs]
    assert hypervisor.GetAllInstancesInfo() == expected
    for info in expected:
        assert hypervisor.GetInstanceInfo(info[0]) == info


def test_nothing_runs(hypervisor):
    assert hypervisor.GetAllInstancesInfo() == []
    assert hypervisor.GetInstanceInfo("nobody.example.com") is None


def test_stopped_guests_are_listed_at_once(hypervisor, start, monkeypatch, caplog):
    monkeypatch.setenv(settings.LISTING.variable, str(LONG))
    guests = start(12)
    for guest in guests[:10]:
        guest.stop()
    assert seconds_of(hypervisor.GetAllInstancesInfo) < LONG / 3
    listed = hypervisor.GetAllInstancesInfo()
    assert sorted(names(listed)) == sorted(guest.name for guest in guests)
    assert as_started(guests[0], 1) in listed  # from the command line
    assert "is stopped" in caplog.text


def test_a_stopped_guest_is_told_of_at_once_again_and_again(hypervisor, start):
    """Fault: after some listings the whole node's failed with EAGAIN."""
    (guest,) = start(1)
    guest.stop()
    for _ in range(5):
        assert hypervisor.GetAllInstancesInfo() == [as_started(guest, 1)]
    guest.resume()
    assert hypervisor.GetAllInstancesInfo() == [as_started(guest, 0)]


def test_guests_that_do_not_answer_cost_one_deadline(hypervisor, start, monkeypatch, caplog):
    """Fault: each of them cost 5 s."""
    monkeypatch.setenv(settings.LISTING.variable, str(SHORT))
    guests = start(8)
    with ExitStack() as held:
        for guest in guests[:6]:
            held.enter_context(QmpConnection(guest.qmp, LONG))
        before = time.monotonic()
        listed = hypervisor.GetAllInstancesInfo()
        took = time.monotonic() - before
    assert SHORT <= took < 3 * SHORT
    assert names(listed) == sorted(guest.name for guest in guests)
    assert caplog.text.count("another client holds this monitor") == 6
    assert as_started(guests[0], 1) in listed
    assert as_started(guests[7], 0) in listed


def test_a_stale_pid_file_lists_nobody(hypervisor, start):
    guests = start(2)
    guests[0].process.kill()
    guests[0].process.wait()
    assert guests[0].pidfile.exists()
    # the number now belongs to somebody else: no QEMU at all, or another instance's
    for stranger in (os.getpid(), guests[1].process.pid):
        guests[0].pidfile.write_text(f"{stranger}\n")
        assert names(hypervisor.GetAllInstancesInfo()) == [guests[1].name]
        assert hypervisor.GetInstanceInfo(guests[0].name) is None


def test_guests_come_and_go_while_others_are_listed(hypervisor, start):
    steady = {guest.name for guest in start(4, prefix="steady")}
    for number in range(5):
        fleeting = start(1, prefix=f"fleeting{number}")[0]
        fleeting.process.kill()  # what is left of it stays
        listed = set(names(hypervisor.GetAllInstancesInfo()))
        assert steady <= listed
        assert listed - steady <= {fleeting.name}


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf", ""])
def test_a_deadline_that_is_none_is_not_taken(monkeypatch, caplog, text):
    monkeypatch.setenv(settings.LISTING.variable, text)
    with caplog.at_level(logging.WARNING):
        assert settings.LISTING.value() == settings.LISTING.default
    assert settings.LISTING.variable in caplog.text


def test_the_deadline_can_be_set(monkeypatch):
    monkeypatch.setenv(settings.LISTING.variable, "0.25")
    assert settings.LISTING.value() == 0.25
    monkeypatch.delenv(settings.LISTING.variable)
    assert settings.LISTING.value() == 2.0
