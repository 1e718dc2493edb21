"""What the originals get wrong on the wire, by the native module alone."""

from __future__ import annotations

import json
import time

import pytest

from ganeti_hv_kvm import errors
from ganeti_hv_kvm._native import QmpConnection
from native.conftest import AMPLE, linger
from oracle.stand_in import GREETING, Peer

LIMIT = 0.5
EVENT = {"event": "E", "timestamp": {"seconds": 1, "microseconds": 1}}
MEBIBYTE = 1 << 20


def say_nothing(peer: Peer) -> None:
    linger(peer)


def trickle(piece: bytes, pause: float):
    def behave(peer: Peer) -> None:
        while True:
            peer.send_bytes(piece)
            time.sleep(pause)

    return behave


@pytest.mark.parametrize(
    "behave",
    [say_nothing, trickle(b" ", 0.05), trickle(b'{"event": "E"}\r\n', 0.05), trickle(b"\n", 0)],
    ids=["silence", "bytes", "events", "flood"],
)
@pytest.mark.parametrize("call", ["connect", "execute", "receive", "event"])
def test_a_call_ends_in_its_time(stand_in, behave, call):
    """Fault: the time-out was one of each recv, so that a trickle held a call for ever."""

    def greet_first(peer):
        if call != "connect":
            peer.negotiate()
        behave(peer)

    connection = QmpConnection(stand_in(greet_first), AMPLE)
    calls = {
        "connect": lambda: connection.connect(timeout=LIMIT),
        "execute": lambda: connection.execute_qmp("query-status", timeout=LIMIT),
        "receive": lambda: connection.get_qmp_response("query-status", timeout=LIMIT),
        "event": lambda: connection.wait_for_qmp_event(["OTHER"], LIMIT),
    }
    if call != "connect":
        connection.connect()
    begin = time.monotonic()
    if call == "event":
        assert calls[call]() is None
        assert connection.is_connected()
    else:
        with pytest.raises(errors.QmpTimeoutError):
            calls[call]()
        assert not connection.is_connected()
    took = time.monotonic() - begin
    assert LIMIT * 0.9 < took < LIMIT + AMPLE / 3
    connection.close()


def test_time_grows_with_the_size_of_a_reply(connected):
    """Fault: 16 MiB took 17 times as long as 4 MiB, a whole 9.5 s."""
    names = json.dumps([f"object-{number:04}" for number in range(MEBIBYTE // 17)])
    bodies = {size: ", ".join([names[1:-1]] * size).encode() for size in (4, 16)}

    def behave(peer):
        while True:
            command = peer.command()
            body = bodies[command["arguments"]["mebibytes"]]
            peer.send_bytes(b'{"return": [%s], "id": ' % body)
            peer.send_bytes(b"%s}\r\n" % json.dumps(command["id"]).encode())

    connection = connected(behave)

    def seconds(mebibytes: int) -> float:
        begin = time.monotonic()
        reply = connection.execute_qmp("query-status", {"mebibytes": mebibytes})
        took = time.monotonic() - begin
        assert len(reply) == mebibytes * (MEBIBYTE // 17)
        return took

    small = min(seconds(4) for _ in range(4))
    large = min(seconds(16) for _ in range(6))
    assert large < 12 * small, f"16 MiB: {large:.3f} s, 4 MiB: {small:.3f} s"


HELLO = b'{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}}}}\r\n'


@pytest.mark.parametrize("said", [b"", b"{", b'{"QMP"', HELLO[:-2], HELLO])
def test_hanging_up_at_connect_is_a_lost_connection(stand_in, said):
    """Fault: TypeError on None."""
    connection = QmpConnection(stand_in(lambda peer: peer.send_bytes(said)), AMPLE)
    with pytest.raises(errors.QmpLostError, match="stand-in"):
        connection.connect()


@pytest.mark.parametrize("said", [b"", b"{", b'{"return": {}, "id": "ghk"', b"\r\n"])
def test_hanging_up_in_a_command_is_a_lost_connection(connected, said):
    """Fault: TypeError on None."""

    def behave(peer):
        peer.command()
        peer.send_bytes(said)

    connection = connected(behave)
    with pytest.raises(errors.QmpLostError, match="query-status"):
        connection.execute_qmp("query-status")
    with pytest.raises(errors.QmpNotConnectedError):
        connection.execute_qmp("query-status")


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"null",
        b"{",
        b'{"return": "\xff"}',
        b'{"return": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}",
        b'{"return": [%s hunter2]}' % (b"1, " * 10_000),
        b'{"hello": "world"}',
        b'{"error": "text"}',
    ],
    ids=["list", "null", "half", "utf8", "deep", "large", "unknown", "error"],
)
def test_what_is_no_message_is_a_protocol_error(connected, line):
    """Fault: ProgrammerError, AttributeError or RecursionError."""

    def behave(peer):
        command = peer.command()
        identified = b'%s, "id": %s}' % (line[:-1], json.dumps(command["id"]).encode())
        peer.send_bytes((identified if line.startswith(b'{"return') else line) + b"\r\n")
        linger(peer)

    connection = connected(behave)
    with pytest.raises(errors.QmpProtocolError) as caught:
        connection.execute_qmp("query-status")
    assert "hunter2" not in str(caught.value)
    assert not connection.is_connected()


@pytest.mark.parametrize(
    "line",
    [b"QEMU 7.2.0 monitor", b"[]", b'{"return": {}}\n{"return": {}}', b'{"QMP": 1}'],
)
def test_who_does_not_speak_qmp_is_told_so(stand_in, line):
    def behave(peer):
        peer.send_bytes(line + b"\r\n")
        linger(peer)

    with pytest.raises(errors.QmpHandshakeError, match="does not speak QMP"):
        QmpConnection(stand_in(behave), AMPLE).connect()


def test_events_and_second_greetings_before_the_first_reply_do_no_harm(stand_in):
    """QEMU was seen to greet twice, and to send events before its greeting."""

    def behave(peer):
        peer.send(EVENT)
        peer.send(GREETING)
        peer.send(GREETING)
        peer.send(EVENT)
        peer.answer(peer.command(), {})
        peer.answer(peer.command(), [{"name": "query-status"}])
        linger(peer)

    with QmpConnection(stand_in(behave), AMPLE) as connection:
        assert connection.version == (7, 2, 0)
        assert connection.wait_for_qmp_event(["E"], 0) is not None
        assert connection.wait_for_qmp_event(["E"], 0) is not None
        assert connection.wait_for_qmp_event(["E"], 0) is None


@pytest.mark.parametrize("where", ["missing/socket", "file", "folder", "x" * 300, "no\0name"])
def test_what_is_no_socket_is_a_connect_error(tmp_path, where):
    """Fault: FileNotFoundError, ConnectionRefusedError and other raw errors."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    path = tmp_path / where
    with pytest.raises(errors.QmpConnectError) as caught:
        QmpConnection(path, AMPLE).connect()
    assert str(tmp_path) in str(caught.value)
