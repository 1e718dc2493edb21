"""QmpConnection with a real QEMU, well and ill."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import signal
import socket
import subprocess
import time

import pytest

from ganeti_hv_kvm import errors
from ganeti_hv_kvm._native import QmpConnection, QmpMessage, query_fleet
from native.conftest import AMPLE

pytestmark = pytest.mark.qemu
SHORT = 0.3


def test_who_it_is(qemu):
    with QmpConnection(qemu.path, AMPLE) as connection:
        version = connection.execute_qmp("query-version")
        told = tuple(version["qemu"][part] for part in ("major", "minor", "micro"))
        assert connection.version == told
        assert connection.package == version["package"].strip()
        assert connection.peer_pid == qemu.process.pid
        assert {"query-status", "quit", "device_add"} <= connection.supported_commands


def test_commands_of_both_generations(qemu):
    with QmpConnection(qemu.path, AMPLE) as connection:
        assert connection.Execute("query-status")["status"] == "running"
        assert connection.execute_qmp("query-status")["running"] is True
        connection.send_qmp(QmpMessage({"execute": "query-status"}))
        assert connection.get_qmp_response("query-status")["running"] is True
        assert len(connection.execute_qmp("query-qmp-schema")) > 500


def test_what_it_refuses(qemu):
    with QmpConnection(qemu.path, AMPLE) as connection:
        with pytest.raises(errors.QmpRefusedError) as caught:
            connection.execute_qmp("device_add", {"driver": "no-such-device"})
        assert caught.value.error_class == "GenericError"
        assert "no-such-device" in caught.value.desc
        with pytest.raises(errors.QmpCommandNotSupported):
            connection.execute_qmp("no-such-command")
        connection.send_qmp(QmpMessage({"execute": "no-such-command"}))
        with pytest.raises(errors.QmpRefusedError) as caught:
            connection.get_qmp_response("no-such-command")
        assert caught.value.error_class == "CommandNotFound"


def test_events_come_around_their_command(qemu):
    with QmpConnection(qemu.path, AMPLE) as connection:
        connection.execute_qmp("stop")
        connection.execute_qmp("cont")
        resumed = connection.wait_for_qmp_event(["RESUME"], AMPLE)
        stopped = connection.wait_for_qmp_event(["STOP"], AMPLE)
        assert stopped.timestamp <= resumed.timestamp
        assert abs(stopped.timestamp.seconds - time.time()) < 3600


def test_descriptors_travel_with_their_command(qemu, tmp_path):
    file = tmp_path / "passed"
    file.write_text("")
    with QmpConnection(qemu.path, AMPLE) as connection, file.open() as passed:
        fds = (passed.fileno(),)
        assert connection.execute_qmp("getfd", {"fdname": "name"}, fds=fds) == {}
        added = connection.execute_qmp("add-fd", {"opaque": "text"}, fds=fds)
        assert os.readlink(f"/proc/{qemu.process.pid}/fd/{added['fd']}") == str(file)
        connection.execute_qmp("closefd", {"fdname": "name"})
        with pytest.raises(errors.QmpRefusedError):
            connection.execute_qmp("getfd", {"fdname": "name"})
        with pytest.raises(errors.HypervisorError, match="descriptor"):
            connection.execute_qmp("getfd", {"fdname": "name"}, fds=[54321])
        assert connection.execute_qmp("query-status")["running"] is True


def test_a_stopped_process_is_named(qemu):
    connection = QmpConnection(qemu.path, SHORT)
    connection.connect(timeout=AMPLE)
    qemu.pause()
    with pytest.raises(errors.QmpTimeoutError, match=f"process {qemu.process.pid} is stopped"):
        connection.execute_qmp("query-status")
    assert not connection.is_connected()
    # It is also the first thing to say where the greeting does not come.
    with pytest.raises(errors.QmpTimeoutError, match=f"process {qemu.process.pid} is stopped"):
        QmpConnection(qemu.path, SHORT).connect()
    qemu.resume()
    connection.connect(timeout=AMPLE)
    assert connection.execute_qmp("query-status", timeout=AMPLE)["running"] is True


@pytest.mark.parametrize("discover", [True, False])
def test_a_late_reply_reaches_nobody(qemu, discover):
    """Fault: it was taken for the reply to the next command.

    QEMU sends the reply to whoever is connected by then, so the id alone must tell.
    """
    connection = QmpConnection(qemu.path, SHORT)
    connection.connect(timeout=AMPLE, discover=discover)
    for _ in range(5):
        qemu.pause()
        with pytest.raises(errors.QmpTimeoutError):
            connection.execute_qmp("query-version")
        qemu.resume()
        connection.connect(timeout=AMPLE, discover=discover)
        for _ in range(2):
            assert "running" in connection.execute_qmp("query-status", timeout=AMPLE)


@pytest.mark.parametrize("command", ["query-version", "no-such-command"])
@pytest.mark.parametrize("discover", [True, False])
def test_what_a_client_without_ids_left_reaches_nobody(qemu, discover, command):
    """Ganeti's own module writes no ids: a reply that it left behind says not whose it is."""
    for _ in range(5):
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(str(qemu.path))
            other.recv(1 << 16)
            other.send(b'{"execute": "qmp_capabilities"}\n')
            other.recv(1 << 16)
            qemu.pause()
            other.send(b'{"execute": "%s"}\n' % command.encode())
        connection = QmpConnection(qemu.path, AMPLE)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            connected = pool.submit(connection.connect, discover=discover)
            time.sleep(0.02)
            qemu.resume()
            connected.result()
        for _ in range(2):
            assert "running" in connection.execute_qmp("query-status")
        connection.close()


@contextlib.contextmanager
def after_a_client_in_haste(qemu, turn):
    """One has left that waits for no reply; QEMU may be at any point of what it asked for.

    QEMU 7.2 itself ends by SIGSEGV after about one in 20 000 such clients; then it begins anew.
    """
    try:
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(str(qemu.path))
            other.send(b'{"execute": "qmp_capabilities"}\n')
            if turn % 2:
                while b"return" not in other.recv(1 << 16):
                    pass
            other.send(b'{"execute": "query-version"}\n' * 3)
            time.sleep(turn % 20 / 20_000)
        yield
    except (AssertionError, OSError, errors.HypervisorError):
        with contextlib.suppress(subprocess.TimeoutExpired):
            qemu.process.wait(1)
        if qemu.process.returncode != -signal.SIGSEGV:
            raise
        qemu.start()


@pytest.mark.parametrize("discover", [True, False])
def test_who_comes_right_after_a_client_in_haste(qemu, discover):
    """Faults: its reply came before the greeting; its end of negotiation made ours too late."""
    for turn in range(400):
        with after_a_client_in_haste(qemu, turn):
            connection = QmpConnection(qemu.path, AMPLE)
            connection.connect(discover=discover)
            for _ in range(2):
                assert "running" in connection.execute_qmp("query-status")
            connection.close()


def test_a_listing_right_after_a_client_in_haste(qemu):
    for turn in range(400):
        with after_a_client_in_haste(qemu, turn):
            (answer,) = query_fleet([str(qemu.path)], ["query-status", "query-name"], timeout=AMPLE)
            assert answer.verdict == "answered", answer.error
            assert "running" in answer.replies[0]
            assert "running" not in answer.replies[1]


def test_a_process_that_is_gone_is_named(qemu):
    connection = QmpConnection(qemu.path, AMPLE)
    connection.connect()
    qemu.end()
    with pytest.raises(errors.QmpLostError, match=str(qemu.process.pid)):
        connection.execute_qmp("query-status")
    with pytest.raises(errors.QmpConnectError, match="nobody listens"):
        connection.connect()


def test_quit_is_answered_before_the_end(qemu):
    with QmpConnection(qemu.path, AMPLE) as connection:
        assert connection.execute_qmp("quit") == {}
        assert connection.wait_for_qmp_event(["SHUTDOWN"], AMPLE)["reason"] == "host-qmp-quit"
        with pytest.raises(errors.QmpLostError):
            connection.recv_qmp()


def test_a_monitor_that_another_client_holds_is_named(qemu):
    with QmpConnection(qemu.path, AMPLE) as holder:
        with pytest.raises(errors.QmpTimeoutError, match="another client"):
            QmpConnection(qemu.path, SHORT).connect()
        assert holder.execute_qmp("query-status")["running"] is True
    with QmpConnection(qemu.path, AMPLE) as other:
        assert other.execute_qmp("query-status")["running"] is True
