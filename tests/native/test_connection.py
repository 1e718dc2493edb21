"""QmpConnection over a stand-in: the calls of both generations, and what Python adds to them."""

from __future__ import annotations

import os
import socket

import pytest

from ganeti_hv_kvm import errors
from ganeti_hv_kvm._native import QmpConnection, QmpMessage
from native.conftest import AMPLE, linger
from oracle.stand_in import GREETING


def test_before_connecting(tmp_path):
    connection = QmpConnection(tmp_path / "nobody")
    assert connection.monitor_filename == connection.socket_path == str(tmp_path / "nobody")
    assert connection.timeout == 5
    assert (connection.version, connection.package, connection.peer_pid) == (None, None, None)
    assert connection.supported_commands is None
    assert not connection.is_connected()
    connection.close()
    for call in (
        lambda: connection.execute_qmp("stop"),
        lambda: connection.send_qmp(QmpMessage({"execute": "stop"})),
        connection.recv_qmp,
        lambda: connection.get_qmp_response("stop"),
        lambda: connection.wait_for_qmp_event(["A"], 1),
    ):
        with pytest.raises(errors.QmpNotConnectedError) as caught:
            call()
        assert str(tmp_path / "nobody") in str(caught.value)


def test_connecting(connected):
    connection = connected()
    assert connection.is_connected()
    assert connection.version == (7, 2, 0)
    assert connection.package == ""
    assert connection.peer_pid == os.getpid()
    assert "query-status" in connection.supported_commands
    assert isinstance(connection.supported_commands, frozenset)
    connection.connect()
    connection.close()
    assert not connection.is_connected()
    assert connection.version == (7, 2, 0)


def test_without_discovery_nothing_is_asked_and_nothing_refused(stand_in):
    def behave(peer):
        peer.send(GREETING)
        peer.answer(peer.command(), {})
        peer.answer(peer.command(), 1)
        linger(peer)

    connection = QmpConnection(stand_in(behave), timeout=AMPLE)
    connection.connect(discover=False)
    assert connection.supported_commands is None
    assert connection.execute_qmp("x-whatever") == 1
    connection.close()


def test_an_unknown_command_is_not_sent(connected):
    def behave(peer):
        assert peer.command()["execute"] == "query-status"
        peer.send({"event": "SEEN", "timestamp": {"seconds": 0, "microseconds": 0}})
        linger(peer)

    connection = connected(behave)
    with pytest.raises(errors.QmpCommandNotSupported, match="no-such-command"):
        connection.execute_qmp("no-such-command")
    connection.send_qmp(QmpMessage({"execute": "query-status"}))
    assert connection.wait_for_qmp_event(["SEEN"], AMPLE) is not None


def test_with_connects_and_closes(stand_in):
    def behave(peer):
        peer.negotiate()
        linger(peer)

    with QmpConnection(stand_in(behave), timeout=AMPLE) as connection:
        assert connection.is_connected()
    assert not connection.is_connected()


@pytest.mark.parametrize("arguments", [None, {}, []])
def test_no_arguments_are_left_out(connected, arguments):
    def behave(peer):
        command = peer.command()
        peer.answer(command, sorted(command))
        linger(peer)

    assert connected(behave).Execute("query-status", arguments) == ["execute", "id"]


def test_arguments_and_results_keep_their_values(connected):
    def behave(peer):
        command = peer.command()
        peer.answer(command, command["arguments"])
        linger(peer)

    value = {"a": [1, 2**63, 2**64 + 1, -1, 0.1, True, None, "ä\n", {"b": {}}]}
    assert connected(behave).execute_qmp("query-status", value) == value


@pytest.mark.parametrize("arguments", [[1], "text", {"x": b"bytes"}, {"x": float("inf")}])
def test_wrong_arguments_are_refused_and_break_nothing(connected, arguments):
    def behave(peer):
        peer.answer(peer.command(), "fine")
        linger(peer)

    connection = connected(behave)
    with pytest.raises(errors.HypervisorError):
        connection.execute_qmp("query-status", arguments)
    assert connection.execute_qmp("query-status") == "fine"


def test_a_subclass_may_watch_every_command(stand_in):
    class Watching(QmpConnection):
        def execute_qmp(self, command, arguments=None, *, timeout=None, fds=()):
            seen.append((command, arguments, timeout, fds))
            return super().execute_qmp(command, arguments, timeout=timeout, fds=fds)

    def behave(peer):
        peer.negotiate()
        peer.answer(peer.command(), 1)
        peer.answer(peer.command(), 2)
        linger(peer)

    seen = []
    with Watching(stand_in(behave), AMPLE) as connection:
        assert connection.Execute("query-status") == 1
        assert connection.Execute("query-name", {"a": 1}, timeout=3) == 2
    assert seen == [("query-status", None, None, ()), ("query-name", {"a": 1}, 3, ())]


def test_a_refusal_says_what_qemu_said(connected):
    def behave(peer):
        error = {"class": "GenericError", "desc": "not today"}
        peer.refuse(peer.command(), error)
        peer.answer(peer.command(), "fine")
        linger(peer)

    connection = connected(behave)
    with pytest.raises(errors.QmpRefusedError, match=r"query-status.*not today") as caught:
        connection.execute_qmp("query-status")
    assert (caught.value.error_class, caught.value.desc) == ("GenericError", "not today")
    assert connection.execute_qmp("query-status") == "fine"


def test_sending_and_receiving_by_hand(connected):
    def behave(peer):
        commands = [peer.command(), peer.command()]
        peer.send({"event": "BETWEEN", "timestamp": {"seconds": 1, "microseconds": 2}})
        for number, command in enumerate(commands):
            peer.answer(command, number)
        linger(peer)

    connection = connected(behave)
    message = QmpMessage({"execute": "query-status"})
    connection.send_qmp(message)
    connection.send_qmp(QmpMessage({"execute": "query-name", "id": "own"}))
    assert message == {"execute": "query-status"}
    assert connection.get_qmp_response("query-status") == 0
    assert connection.recv_qmp()["event"] == "BETWEEN"
    assert connection.recv_qmp() == {"return": 1, "id": "own"}


def test_events(connected):
    def behave(peer):
        command = peer.command()
        for device in ("other", "ours"):
            stamp = {"seconds": 1, "microseconds": 2}
            peer.send({"event": "DEVICE_DELETED", "timestamp": stamp, "data": {"device": device}})
        peer.answer(command, {})
        linger(peer)

    connection = connected(behave)
    connection.execute_qmp("query-status")
    event = connection.wait_for_qmp_event({"DEVICE_DELETED", "X"}, AMPLE, device="ours")
    assert (event.event_type, event["device"], event.timestamp) == (
        "DEVICE_DELETED",
        "ours",
        (1, 2),
    )
    assert connection.wait_for_qmp_event(["DEVICE_DELETED"], 0.05, device="ours") is None
    assert connection.wait_for_qmp_event(["DEVICE_DELETED"], 0).data == {"device": "other"}
    assert connection.is_connected()
    assert connection.lost_events == 0


def test_event_floods_are_bounded_and_counted(connected):
    def behave(peer):
        command = peer.command()
        for number in range(1100):
            stamp = {"seconds": number, "microseconds": 0}
            peer.send({"event": "E", "timestamp": stamp})
        peer.answer(command, {})
        linger(peer)

    connection = connected(behave)
    connection.execute_qmp("query-status")
    assert connection.lost_events == 1100 - 1024
    assert connection.wait_for_qmp_event(["E"], 0).timestamp.seconds == 1100 - 1024


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf"), 1e300])
def test_what_is_no_timeout_is_refused(connected, tmp_path, bad):
    connection = connected()
    for call in (
        lambda: QmpConnection(tmp_path / "x", bad),
        lambda: connection.execute_qmp("query-status", timeout=bad),
        lambda: setattr(connection, "timeout", bad),
        lambda: connection.wait_for_qmp_event(["A"], bad or -1),
    ):
        with pytest.raises(errors.HypervisorError, match="time-out"):
            call()
    assert (connection.timeout, connection.is_connected()) == (AMPLE, True)


def test_timeouts_by_environment_connection_and_call(connected, monkeypatch, tmp_path):
    monkeypatch.setenv("GANETI_HV_KVM_QMP_TIMEOUT", "0.25")
    assert QmpConnection(tmp_path / "x").timeout == 0.25
    assert QmpConnection(tmp_path / "x", 3).timeout == 3
    monkeypatch.setenv("GANETI_HV_KVM_QMP_TIMEOUT", "soon")
    with pytest.raises(errors.HypervisorError, match="GANETI_HV_KVM_QMP_TIMEOUT"):
        QmpConnection(tmp_path / "x")
    connection = connected()
    connection.timeout = 60
    with pytest.raises(errors.QmpTimeoutError, match=r"0\.2 s"):
        connection.execute_qmp("query-status", timeout=0.2)


def test_the_size_of_a_message_has_a_limit(connected):
    def behave(peer):
        peer.answer(peer.command(), "x" * 10_000)
        linger(peer)

    connection = connected(behave, max_message_size=5000)
    with pytest.raises(errors.QmpProtocolError, match="5000"):
        connection.execute_qmp("query-status")
    assert not connection.is_connected()


def test_secrets_are_in_no_error(connected):
    def behave(peer):
        for _ in range(2):
            command = peer.command()
            desc = f"no good: {command['arguments']}"
            peer.refuse(command, {"class": "GenericError", "desc": desc})
        peer.command()

    connection = connected(behave)
    arguments = {"protocol": "vnc", "password": "hunter2"}
    for each in (arguments, {"data": "hunter2"}, {**arguments, "x": object()}, arguments):
        with pytest.raises(errors.HypervisorError) as caught:
            connection.execute_qmp("set_password", each)
        for text in (str(caught.value), repr(caught.value), repr(vars(caught.value))):
            assert "hunter2" not in text
        assert caught.value.__cause__ is caught.value.__context__ is None


def test_secrets_of_messages_sent_by_hand_are_in_no_error(connected):
    def behave(peer):
        command = peer.command()
        desc = f"no good: {command['arguments']}"
        peer.refuse(command, {"class": "GenericError", "desc": desc})
        linger(peer)

    connection = connected(behave)
    arguments = {"protocol": "vnc", "password": "hunter2"}
    connection.send_qmp(QmpMessage({"execute": "set_password", "arguments": arguments}))
    with pytest.raises(errors.QmpRefusedError, match="no good") as caught:
        connection.get_qmp_response("set_password")
    assert "hunter2" not in str(caught.value) + caught.value.desc


def test_a_path_need_not_be_utf8(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fsencode(path))
        listener.listen()
        connection = QmpConnection(path, 0.1)
        assert connection.socket_path == path
        with pytest.raises(errors.QmpTimeoutError):
            connection.connect()
