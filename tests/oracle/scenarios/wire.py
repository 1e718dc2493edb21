"""Faults on the wire: what a monitor may send, or fail to send."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from oracle.place import (
    Place,
    cpu_seconds_of,
    error_of,
    expect,
    expect_hypervisor_error,
    fault_in,
    seconds_of,
)
from oracle.stand_in import GREETING, Peer, StandIn

_TIMEOUT = 1.0
_EVENT = {"event": "RTC_CHANGE", "timestamp": {"seconds": 1, "microseconds": 2}, "data": {}}


def _connected(place: Place, *behaviours: Callable[[Peer], None]) -> Any:
    connection = place.connection(_path(place, *behaviours), _TIMEOUT)
    connection.connect()
    return connection


def _path(place: Place, *behaviours: Callable[[Peer], None]) -> Path:
    path = place.node.root / "stand-in.qmp"
    StandIn(path, *behaviours)
    return path


def _linger(peer: Peer) -> None:
    """Keeps the connection open, and reads on, until the client goes away."""
    while True:
        peer.command()


@fault_in("3.0", "3.1")
def closed_inside_a_command(place: Place) -> None:
    def behave(peer: Peer) -> None:
        peer.negotiate()
        peer.command()

    connection = _connected(place, behave)
    expect_hypervisor_error(error_of(lambda: place.execute(connection, "query-status")))


@fault_in("3.0", "3.1")
def closed_before_the_greeting(place: Place) -> None:
    connection = place.connection(_path(place, lambda peer: None), _TIMEOUT)
    expect_hypervisor_error(error_of(connection.connect))


@fault_in("3.0", "3.1")
def closed_after_the_greeting(place: Place) -> None:
    def behave(peer: Peer) -> None:
        peer.send(GREETING)
        peer.command()

    connection = place.connection(_path(place, behave), _TIMEOUT)
    expect_hypervisor_error(error_of(connection.connect))


@fault_in("3.0", "3.1")
def late_reply_is_not_the_next_commands(place: Place) -> None:
    def behave(peer: Peer) -> None:
        peer.negotiate()
        late = peer.command()
        time.sleep(_TIMEOUT * 1.5)
        peer.answer(late, "late")
        peer.answer(peer.command(), "of the second")
        _linger(peer)

    connection = _connected(place, behave)
    expect_hypervisor_error(error_of(lambda: place.execute(connection, "query-status")))
    time.sleep(_TIMEOUT)
    answers: list[Any] = []
    error = error_of(lambda: answers.append(place.execute(connection, "query-name")))
    expect(answers != ["late"], "query-name got the answer of query-status")
    if error is not None:
        expect_hypervisor_error(error)


@fault_in("3.1")
def half_a_message_does_not_reach_the_next_connection(place: Place) -> None:
    def stall_in_an_event(peer: Peer) -> None:
        peer.negotiate()
        peer.command()
        peer.send_bytes(json.dumps(_EVENT).encode()[:20])
        _linger(peer)

    def answer(peer: Peer) -> None:
        peer.negotiate()
        peer.answer(peer.command(), "fine")
        _linger(peer)

    connection = _connected(place, stall_in_an_event, answer)
    expect_hypervisor_error(error_of(lambda: place.execute(connection, "query-status")))
    # The original does not know that it is connected, and close() then does nothing.
    connection.close()
    getattr(connection, "sock", socket.socket()).close()
    error = error_of(connection.connect)
    expect(error is None, f"the new connection failed: {type(error).__name__}: {error}")
    answered = place.execute(connection, "query-status")
    expect(answered == "fine", f"got {answered!r}")


def _expect_ends_in_time(place: Place, trickle: Callable[[Peer], None]) -> None:
    def behave(peer: Peer) -> None:
        peer.negotiate()
        peer.command()
        for _ in range(25):
            trickle(peer)
            time.sleep(_TIMEOUT / 5)

    connection = _connected(place, behave)
    seconds = seconds_of(lambda: place.execute(connection, "query-status"))
    expect(seconds < 3 * _TIMEOUT, f"a time-out of {_TIMEOUT:g} s came after {seconds:.1f} s")


@fault_in("3.0", "3.1")
def trickling_bytes_do_not_stretch_the_time_out(place: Place) -> None:
    _expect_ends_in_time(place, lambda peer: peer.send_bytes(b" "))


@fault_in("3.0", "3.1")
def trickling_events_do_not_stretch_the_time_out(place: Place) -> None:
    _expect_ends_in_time(place, lambda peer: peer.send(_EVENT))


@fault_in("3.0", "3.1")
def time_grows_with_the_reply_not_with_its_square(place: Place) -> None:
    small, large = 512 * 1024, 4 * 1024 * 1024
    sizes = (small, small, small, large, large)

    def behave(peer: Peer) -> None:
        peer.negotiate()
        for size in sizes:
            peer.answer(peer.command(), "x" * size)
        _linger(peer)

    connection = place.connection(_path(place, behave), 60)
    connection.connect()
    times = [cpu_seconds_of(lambda: place.execute(connection, "query-status")) for _ in sizes]
    of_small, of_large = min(times[:3]), min(times[3:])
    # 8 times as large: 8 times as long, or 64 times.
    expect(of_large < 32 * of_small, f"4 MiB took {of_large:.4f} s, 0.5 MiB {of_small:.5f} s")


@fault_in("3.1")
def missing_socket(place: Place) -> None:
    connection = place.connection(place.node.root / "nowhere.qmp", _TIMEOUT)
    expect_hypervisor_error(error_of(connection.connect))


@fault_in("3.1")
def nobody_listens(place: Place) -> None:
    path = place.node.root / "dead.qmp"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
    connection = place.connection(path, _TIMEOUT)
    expect_hypervisor_error(error_of(connection.connect))


@fault_in("3.1")
def busy_socket(place: Place) -> None:
    path = place.node.root / "busy.qmp"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(path))
        listener.listen(0)
        first.connect(str(path))
        connection = place.connection(path, _TIMEOUT)
        expect_hypervisor_error(error_of(connection.connect))


@fault_in("3.1")
def broken_pipe(place: Place) -> None:
    connection = _connected(place, Peer.negotiate)
    time.sleep(0.2)  # the stand-in has hung up
    expect_hypervisor_error(error_of(lambda: place.execute(connection, "query-status")))


@fault_in("3.0")
def an_error_text_is_complete(place: Place) -> None:
    plain_file = place.node.root / "file"
    plain_file.touch()
    error = error_of(place.connection(plain_file / "below.qmp", _TIMEOUT).connect)
    expect_hypervisor_error(error)
    expect("%s" not in str(error), f"the text is {error}")


@fault_in("3.1")
def event_before_the_reply_is_kept(place: Place) -> None:
    def behave(peer: Peer) -> None:
        peer.negotiate()
        command = peer.command()
        peer.send({**_EVENT, "event": "DEVICE_DELETED", "data": {"device": "disk-1"}})
        peer.answer(command, {})
        _linger(peer)

    connection = _connected(place, behave)
    place.execute(connection, "query-status")
    event = connection.wait_for_qmp_event(["DEVICE_DELETED"], _TIMEOUT)
    expect(event is not None, "the event that came before the reply is gone")
    expect(event["device"] == "disk-1", "the event has lost its data")


def _expect_error_for(place: Place, line: bytes) -> None:
    def behave(peer: Peer) -> None:
        peer.negotiate()
        peer.command()
        peer.send_bytes(line + b"\r\n")
        _linger(peer)

    connection = _connected(place, behave)
    expect_hypervisor_error(error_of(lambda: place.execute(connection, "query-status")))


@fault_in("3.0", "3.1")
def bad_utf8(place: Place) -> None:
    _expect_error_for(place, b'{"return": "\xff\xfe"}')


@fault_in("3.0", "3.1")
def deep_nesting(place: Place) -> None:
    _expect_error_for(place, b'{"return": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")


@fault_in("3.0", "3.1")
def a_list_instead_of_an_object(place: Place) -> None:
    _expect_error_for(place, b'["return"]')


@fault_in("3.0", "3.1")
def a_password_is_in_no_log_and_no_error(place: Place) -> None:
    secret = "correct horse battery"

    def behave(peer: Peer) -> None:
        peer.negotiate()
        peer.answer(peer.command(), {})
        _linger(peer)

    connection = _connected(place, behave)
    arguments = {"protocol": "vnc", "password": secret}
    place.execute(connection, "set_password", arguments)
    error = error_of(lambda: place.execute(connection, "set_password", arguments))
    expect_hypervisor_error(error)
    for text in [*place.log.texts, str(error), repr(error)]:
        expect(secret not in text, f"it is in: {text}")
