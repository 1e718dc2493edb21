"""Iterating over events, the descriptor to wait for, and what errors tell, with a real QEMU."""

from __future__ import annotations

import datetime
import os
import select
import signal
import threading
import time

import pytest

import ganeti_hv_kvm
from ganeti_hv_kvm import errors
from ganeti_hv_kvm._native import QmpConnection, QmpEvent, QmpTimestamp
from native.conftest import AMPLE, linger

pytestmark = pytest.mark.qemu
SHORT = 0.3


def stop_and_go(connection: QmpConnection) -> None:
    connection.execute_qmp("stop")
    connection.execute_qmp("cont")


def test_events_in_their_order(qemu):
    with QmpConnection(qemu.path, AMPLE) as connection:
        stop_and_go(connection)
        started = time.monotonic()
        told = [event.event_type for event in connection.events(timeout=SHORT)]
        assert told == ["STOP", "RESUME"]
        assert SHORT <= time.monotonic() - started < AMPLE
        stop_and_go(connection)
        told = [event.event_type for event in connection.events("RESUME", timeout=0)]
        assert told == ["RESUME"]
        assert list(connection.events([], timeout=AMPLE)) == []
        assert list(connection.events(["STOP"], device="disk0", timeout=0)) == []


def test_without_end_other_threads_come_to_their_turn(qemu):
    with QmpConnection(qemu.path, AMPLE) as connection:
        stream = connection.events(["STOP", "RESUME"])
        teller = threading.Thread(target=stop_and_go, args=(connection,))
        teller.start()
        assert [next(stream).event_type, next(stream).event_type] == ["STOP", "RESUME"]
        teller.join()
        qemu.process.kill()
        with pytest.raises(errors.QmpLostError):
            next(stream)


def test_wrong_time_outs_are_refused(qemu):
    with QmpConnection(qemu.path, AMPLE) as connection:
        for bad in (-1.0, float("nan"), float("inf")):
            with pytest.raises(errors.QmpError, match="time-out"):
                connection.events(timeout=bad)


def test_the_descriptor_tells_when_an_event_comes(qemu):
    connection = QmpConnection(qemu.path, AMPLE)
    with pytest.raises(errors.QmpNotConnectedError):
        connection.fileno()
    with connection:
        stop_and_go(connection)
        told = [event.event_type for event in connection.events(timeout=SHORT)]
        assert told == ["STOP", "RESUME"]
        assert select.select([connection], [], [], 0)[0] == []
        os.kill(qemu.process.pid, signal.SIGTERM)
        assert select.select([connection], [], [], AMPLE)[0] == [connection]
        event = connection.wait_for_qmp_event("SHUTDOWN", AMPLE)
        assert event is not None
    with pytest.raises(errors.QmpNotConnectedError):
        connection.fileno()


def test_the_time_of_an_event(qemu):
    with QmpConnection(qemu.path, AMPLE) as connection:
        connection.execute_qmp("stop")
        event = connection.wait_for_qmp_event("STOP", AMPLE)
        assert event is not None
        assert event.datetime is not None
        apart = datetime.datetime.now(datetime.timezone.utc) - event.datetime
        assert abs(apart) < datetime.timedelta(seconds=AMPLE)
        assert event.datetime.microsecond == event.timestamp.microseconds
    ages = QmpEvent(QmpTimestamp(1 << 62, 0), "STOP", None)
    assert ages.datetime is None


def test_errors_tell_a_refusal(qemu):
    with QmpConnection(qemu.path, AMPLE) as connection:
        with pytest.raises(errors.QmpRefusedError) as refused:
            connection.execute_qmp("device_add", {"driver": "none-such"})
        assert (refused.value.command, refused.value.sent) == ("device_add", True)
        with pytest.raises(errors.QmpCommandNotSupported) as unknown:
            connection.execute_qmp("none-such")
        assert (unknown.value.command, unknown.value.sent) == ("none-such", False)
        assert unknown.value.socket_path == str(qemu.path)
        assert (unknown.value.seconds, unknown.value.peer_pid) == (None, None)


def test_errors_tell_a_stopped_process(qemu):
    with QmpConnection(qemu.path, AMPLE) as connection:
        os.kill(qemu.process.pid, signal.SIGSTOP)
        try:
            with pytest.raises(errors.QmpTimeoutError) as late:
                connection.execute_qmp("query-status", timeout=SHORT)
        finally:
            os.kill(qemu.process.pid, signal.SIGCONT)
    error = late.value
    assert (error.command, error.sent, error.seconds) == ("query-status", True, SHORT)
    assert (error.peer_pid, error.peer_state) == (qemu.process.pid, "stopped")


def test_errors_tell_the_other_client(qemu):
    with QmpConnection(qemu.path, AMPLE):
        second = QmpConnection(qemu.path, SHORT)
        with pytest.raises(errors.QmpTimeoutError) as busy:
            second.connect()
    assert (busy.value.peer_state, busy.value.sent) == ("busy", None)
    assert busy.value.command is None


def test_nothing_came_keeps_the_connection(connected):
    connection = connected(linger)
    with pytest.raises(errors.QmpTimeoutError, match="kept") as nothing:
        connection.recv_qmp(timeout=SHORT)
    assert nothing.value.seconds == SHORT
    assert connection.is_connected()


def test_a_fleet_is_public(qemu):
    (answer,) = ganeti_hv_kvm.query_fleet([qemu.path], ["query-status"], timeout=AMPLE)
    assert isinstance(answer, ganeti_hv_kvm.FleetAnswer)
    assert (answer.verdict, answer.replies[0]["running"]) == ("answered", True)
