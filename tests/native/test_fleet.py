"""query_fleet with real QEMUs, well and ill, and within a process's limits."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganeti_hv_kvm import errors
from ganeti_hv_kvm._native import QmpConnection, query_fleet
from harness import idle_guests
from harness.idle_guests import IdleGuest
from native.conftest import AMPLE
from oracle.stand_in import GREETING, Peer, StandIn

pytestmark = pytest.mark.qemu
SHORT = 0.5
COMMANDS = ["query-status", "query-balloon", ("query-version", {})]


@pytest.fixture
def guests(tmp_path: Path) -> Iterator[list[IdleGuest]]:
    with idle_guests.running(tmp_path, 4) as started:
        yield started


def open_fds() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def paths(guests: list[IdleGuest]) -> list[Path]:
    return [guest.qmp for guest in guests]


def test_every_guest_answers_every_command(guests):
    before = open_fds()
    answers = query_fleet(paths(guests), COMMANDS, timeout=AMPLE)
    assert [answer.peer_pid for answer in answers] == [guest.process.pid for guest in guests]
    for answer in answers:
        assert answer.verdict == "answered"
        assert answer.error is None
        status, balloon, version = answer.replies
        assert status["status"] == "running"
        assert isinstance(balloon, errors.QmpRefusedError)
        assert balloon.error_class == "DeviceNotActive"
        assert version["qemu"]["major"] >= 7
    assert open_fds() == before


def test_monitors_are_free_again_afterwards(guests):
    for _ in range(3):
        query_fleet(paths(guests), ["query-status"], timeout=AMPLE)
    with QmpConnection(guests[0].qmp, AMPLE) as connection:
        assert connection.execute_qmp("query-status")["running"] is True


def test_a_stopped_process_is_told_at_once(guests):
    for guest in guests[:2]:
        guest.stop()
    pids = [guest.process.pid for guest in guests]
    for known in (pids, None):
        before = time.monotonic()
        answers = query_fleet(paths(guests), ["query-status"], timeout=AMPLE, pids=known)
        assert time.monotonic() - before < AMPLE / 2
        assert [answer.verdict for answer in answers] == ["stopped"] * 2 + ["answered"] * 2
        assert str(pids[0]) in str(answers[0].error)
        assert isinstance(answers[0].error, errors.HypervisorError)
    guests[0].resume()
    (answer,) = query_fleet(paths(guests)[:1], ["query-status"], timeout=AMPLE)
    assert answer.verdict == "answered"


def test_a_stopped_process_with_a_full_queue_is_told_at_once(guests):
    """Fault: repeated listings filled the queue, and then failed with EAGAIN for the whole node."""
    guests[0].stop()
    pids = [guest.process.pid for guest in guests]
    for _ in range(5):  # without the process these stay in the queue
        query_fleet(paths(guests)[:1], ["query-status"], timeout=SHORT)
    before = time.monotonic()
    answers = query_fleet(paths(guests), ["query-status"], timeout=AMPLE, pids=pids)
    assert time.monotonic() - before < AMPLE / 2
    assert [answer.verdict for answer in answers] == ["stopped"] + ["answered"] * 3


def test_processes_are_found_while_the_guests_answer(guests):
    """What finding them takes is not added to what QEMU takes."""
    guests[1].stop()
    before = time.monotonic()

    def find_pids() -> list[int | None]:
        # nothing is asked after this any more, and whoever answered is not lost
        time.sleep(SHORT)
        guests[0].process.kill()
        guests[0].process.wait()
        return [guest.process.pid for guest in guests]

    answers = query_fleet(paths(guests), COMMANDS, timeout=AMPLE, pids=find_pids)
    assert SHORT <= time.monotonic() - before < AMPLE / 2
    assert [answer.verdict for answer in answers] == ["answered", "stopped"] + ["answered"] * 2
    assert str(guests[1].process.pid) in str(answers[1].error)


def test_a_guest_without_a_process_is_not_waited_for(guests):
    with QmpConnection(guests[1].qmp, AMPLE):
        before = time.monotonic()
        pids = [guest.process.pid for guest in guests]
        pids[1] = pids[2] = None
        answers = query_fleet(paths(guests), ["query-status"], timeout=AMPLE, pids=lambda: pids)
        assert time.monotonic() - before < AMPLE / 2
    assert [answer.verdict for answer in answers] == ["answered", "gone", "gone", "answered"]
    assert "no process" in str(answers[1].error)


@pytest.mark.parametrize("found", [lambda: 1 / 0, list, lambda: ["x"] * 4, lambda: None])
def test_what_finding_the_processes_raises_is_raised(guests, found):
    before = open_fds()
    with pytest.raises((ZeroDivisionError, ValueError, TypeError)):
        query_fleet(paths(guests), ["query-status"], timeout=AMPLE, pids=found)
    assert open_fds() == before


def test_a_monitor_in_use_is_busy(guests):
    with QmpConnection(guests[1].qmp, AMPLE) as connection:
        answers = query_fleet(paths(guests), ["query-status"], timeout=SHORT)
        assert [answer.verdict for answer in answers] == ["answered", "busy"] + ["answered"] * 2
        assert connection.execute_qmp("query-status")["running"] is True


def test_guests_that_went_are_gone(guests):
    guests[0].process.kill()
    guests[0].process.wait()
    guests[3].process.kill()
    guests[3].process.wait()
    guests[3].qmp.unlink()
    before = time.monotonic()
    answers = query_fleet(paths(guests), ["query-status"], timeout=AMPLE)
    assert time.monotonic() - before < AMPLE / 2
    assert [answer.verdict for answer in answers] == ["gone", "answered", "answered", "gone"]
    assert isinstance(answers[0].error, errors.QmpConnectError)


def test_a_guest_that_goes_meanwhile_is_gone(guests):
    with QmpConnection(guests[0].qmp, AMPLE):
        threading.Timer(0.2, guests[0].process.kill).start()
        before = time.monotonic()
        answers = query_fleet(paths(guests), ["query-status"], timeout=AMPLE)
        assert time.monotonic() - before < AMPLE / 2
    assert answers[0].verdict in ("gone", "broken")
    assert [answer.verdict for answer in answers[1:]] == ["answered"] * 3


def test_answers_before_a_silence_are_kept(tmp_path):
    def answer_once(peer: Peer) -> None:
        peer.send(GREETING)
        peer.answer(peer.command(), {})
        peer.answer(peer.command(), {"status": "running"})
        while True:
            peer.command()

    StandIn(tmp_path / "qmp", answer_once)
    (answer,) = query_fleet([tmp_path / "qmp"], ["query-status", "stop"], timeout=SHORT)
    assert answer.verdict == "silent"
    assert answer.replies == [{"status": "running"}]
    assert isinstance(answer.error, errors.QmpTimeoutError)
    assert "stop" in str(answer.error)


LIMITED = """
import os, resource, sys
from ganeti_hv_kvm._native import query_fleet
descriptors, paths = int(sys.argv[1]), sys.argv[2:]
hold = [os.open("/dev/null", os.O_RDONLY) for _ in range(int(os.environ.get("HOLD", "0")))]
resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
answers = query_fleet(paths * 10, ["query-status"], timeout=30)
print(*{answer.verdict for answer in answers}, len(answers))
"""


@pytest.mark.parametrize("held", [0, 40])
def test_few_descriptors_make_it_work_in_batches(guests, held):
    """At most half of the limit, and no more than are left."""
    argv = [sys.executable, "-c", LIMITED, "50", *map(str, paths(guests))]
    environment = {**os.environ, "HOLD": str(held)}
    # one path ten times: each monitor serves its clients one after the other
    ran = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)
    assert (ran.stdout.split(), ran.stderr) == (["answered", "40"], "")


INTERRUPTED = textwrap.dedent("""
    import signal, sys, time
    from ganeti_hv_kvm._native import query_fleet
    def ring(*_): raise KeyError("rang")
    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    start = time.monotonic()
    try:
        query_fleet(sys.argv[1:], ["query-status"], timeout=60)
    except KeyError:
        print("rang", time.monotonic() - start < 30)
""")


def test_a_signal_handler_ends_it(guests):
    with QmpConnection(guests[0].qmp, AMPLE):
        argv = [sys.executable, "-c", INTERRUPTED, str(guests[0].qmp)]
        ran = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("rang True\n", "")


def test_other_threads_run_meanwhile(guests):
    ticks = []
    done = threading.Event()

    def tick() -> None:
        while not done.wait(0.01):
            ticks.append(time.monotonic())

    thread = threading.Thread(target=tick)
    with QmpConnection(guests[0].qmp, AMPLE):
        thread.start()
        query_fleet([guests[0].qmp], ["query-status"], timeout=SHORT)
        done.set()
        thread.join()
    assert len(ticks) > 5


def test_wrong_arguments():
    with pytest.raises(errors.QmpError, match="time-out"):
        query_fleet([], [], timeout=0)
    with pytest.raises(ValueError, match="each path"):
        query_fleet(["a"], [], timeout=1, pids=[])
    with pytest.raises(TypeError):
        query_fleet("path", ["query-status"], timeout=1)
    with pytest.raises(TypeError):
        query_fleet(["a"], [1], timeout=1)
    with pytest.raises(errors.QmpError, match="no mapping"):
        query_fleet(["a"], [("query-status", [1])], timeout=1)
    assert query_fleet([], ["query-status"]) == []
