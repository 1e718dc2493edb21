"""Ctrl-C and other signals end a wait soon, and as what their handlers raise."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from ganeti_hv_kvm import errors
from native.conftest import AMPLE

#: What ends a wait is looked for 20 times a second; a busy machine may take its time.
SOON = 5.0


@pytest.fixture
def after_a_moment():
    """Sends this process a signal while the test waits."""
    threads = []

    def send(number):
        timer = threading.Timer(0.3, os.kill, (os.getpid(), number))
        threads.append(timer)
        timer.start()

    yield send
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    "wait",
    [
        lambda connection: connection.execute_qmp("query-status"),
        lambda connection: connection.recv_qmp(),
        lambda connection: connection.wait_for_qmp_event(["A"], AMPLE),
    ],
)
def test_control_c_ends_a_wait_and_the_connection(connected, after_a_moment, wait):
    connection = connected()
    begin = time.monotonic()
    after_a_moment(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        wait(connection)
    assert time.monotonic() - begin < 0.3 + SOON
    assert not connection.is_connected()


def test_control_c_ends_a_wait_that_never_pauses(connected, after_a_moment):
    """A flood gives no time-out of a poll to look for signals in."""

    def flood(peer):
        event = b'{"event": "E", "timestamp": {"seconds": 1, "microseconds": 1}}\r\n'
        while True:
            peer.send_bytes(event * 100)

    connection = connected(flood)
    begin = time.monotonic()
    after_a_moment(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        connection.execute_qmp("query-status")
    assert time.monotonic() - begin < 0.3 + SOON


def test_a_signal_whose_handler_returns_ends_nothing(connected, after_a_moment):
    def behave(peer):
        command = peer.command()
        time.sleep(0.8)
        answered.append(time.monotonic())
        peer.answer(command, "in the end")
        peer.command()

    handled, answered = [], []
    connection = connected(behave)
    old = signal.signal(signal.SIGUSR1, lambda *_: handled.append(time.monotonic()))
    try:
        after_a_moment(signal.SIGUSR1)
        assert connection.execute_qmp("query-status") == "in the end"
        assert handled[0] < answered[0]
    finally:
        signal.signal(signal.SIGUSR1, old)


def test_a_handler_may_not_use_the_connection_but_may_close_it(connected, after_a_moment):
    caught = []

    def handler(*_):
        try:
            connection.execute_qmp("query-name")
        except errors.HypervisorError as err:
            caught.append(err)
        connection.close()

    connection = connected()
    old = signal.signal(signal.SIGUSR1, handler)
    try:
        after_a_moment(signal.SIGUSR1)
        with pytest.raises(errors.QmpLostError):
            connection.execute_qmp("query-status")
    finally:
        signal.signal(signal.SIGUSR1, old)
    assert len(caught) == 1
    assert "still under way" in str(caught[0])


def test_control_c_ends_connecting(tmp_path):
    """In a process of its own, stopped by the signal's default: as an operator does it."""
    program = f"""
import socket
from ganeti_hv_kvm._native import QmpConnection
listener = socket.socket(socket.AF_UNIX)
listener.bind({str(tmp_path / "silent")!r})
listener.listen()
print("waiting", flush=True)
QmpConnection({str(tmp_path / "silent")!r}, timeout={AMPLE}).connect()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        child.stdout.readline()
        time.sleep(0.3)
        begin = time.monotonic()
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=AMPLE)
    assert time.monotonic() - begin < SOON
    assert "KeyboardInterrupt" in err
    assert child.returncode != 0
