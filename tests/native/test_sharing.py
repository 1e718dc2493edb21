"""A connection among threads and forked processes, and what it leaves behind."""

from __future__ import annotations

import gc
import os
import threading
import time
from pathlib import Path

from ganeti_hv_kvm import errors
from ganeti_hv_kvm._native import QmpConnection
from native.conftest import AMPLE, linger


def test_two_threads_share_a_connection(connected):
    def behave(peer):
        while True:
            command = peer.command()
            peer.answer(command, command["arguments"])

    connection = connected(behave)
    wrong = []

    def work(thread):
        for number in range(100):
            value = {"thread": thread, "number": number}
            if connection.execute_qmp("query-status", value) != value:
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_other_threads_run_while_one_waits(connected):
    connection = connected()
    waiter = threading.Thread(target=connection.wait_for_qmp_event, args=(["A"], 1))
    begin = time.monotonic()
    waiter.start()
    ticks = 0
    while time.monotonic() - begin < 0.5:
        time.sleep(0.01)
        ticks += 1
    waiter.join()
    assert ticks > 5


def test_closing_ends_another_threads_wait(connected):
    connection = connected()
    caught = []

    def wait():
        try:
            connection.execute_qmp("query-status")
        except errors.QmpLostError as err:
            caught.append(err)

    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(0.1)
    connection.close()
    waiter.join(AMPLE / 2)
    assert not waiter.is_alive()
    assert len(caught) == 1


def test_a_forked_child_is_not_stuck_and_does_not_disturb(connected):
    release = threading.Event()

    def behave(peer):
        command = peer.command()
        release.wait(AMPLE)
        peer.answer(command, "the parent's")
        linger(peer)

    connection = connected(behave)
    got = []
    waiter = threading.Thread(target=lambda: got.append(connection.execute_qmp("query-status")))
    waiter.start()
    time.sleep(0.1)
    child = os.fork()
    if child == 0:
        try:
            connection.execute_qmp("query-status")
        except errors.QmpNotConnectedError:
            connection.close()
            os._exit(17)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    release.set()
    waiter.join()
    assert os.waitstatus_to_exitcode(status) == 17
    assert got == ["the parent's"]


def test_connections_leave_no_descriptor(stand_in):
    def behave(peer):
        peer.negotiate()
        linger(peer)

    path = stand_in(*[behave] * 200)

    def ours() -> int:
        gc.collect()
        return sum(1 for fd in Path("/proc/self/fd").iterdir() if _is_socket(fd))

    before = ours()
    for number in range(200):
        connection = QmpConnection(path, AMPLE)
        connection.connect()
        if number % 2:
            connection.close()
        del connection
    limit = time.monotonic() + AMPLE
    while ours() > before and time.monotonic() < limit:  # the stand-in's side takes a moment
        time.sleep(0.01)
    assert ours() <= before


def _is_socket(fd: Path) -> bool:
    try:
        return str(fd.readlink()).startswith("socket:")
    except OSError:
        return False
