"""Whose word is it: what a peer says is bounded, escaped, and nobody else's."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ganeti_hv_kvm import errors
from ganeti_hv_kvm._native import OpenTap, QmpConnection, QmpMessage, find_processes, query_fleet
from native.conftest import AMPLE, linger
from oracle.stand_in import GREETING, StandIn

ERROR = {"class": "CommandNotFound", "desc": "not now"}


def test_members_that_nobody_knows_are_ignored(connected):
    def behave(peer):
        command = peer.command()
        peer.send({"return": 1, "id": command["id"], "warnings": []})
        command = peer.command()
        peer.send({"warnings": [{"id": 7}], "id": command["id"], "return": 2})
        linger(peer)

    connection = connected(behave)
    assert [connection.execute_qmp("query-status") for _ in range(2)] == [1, 2]


@pytest.mark.parametrize("discover", [True, False])
def test_each_reply_reaches_its_command_when_another_negotiated_for_us(stand_in, discover):
    """Fault: after it a refused first command took the reply of the second one."""

    def behave(peer):
        peer.send({"return": {}})  # to the client before us
        peer.send(GREETING)
        peer.refuse(peer.command(), ERROR)
        if discover:
            peer.answer(peer.command(), [{"name": "query-status"}])
        peer.refuse(peer.command(), {"class": "GenericError", "desc": "first"})
        peer.answer(peer.command(), "second")
        linger(peer)

    connection = QmpConnection(stand_in(behave), AMPLE)
    connection.connect(discover=discover)
    with pytest.raises(errors.QmpRefusedError, match="first"):
        connection.execute_qmp("query-status")
    assert connection.execute_qmp("query-status") == "second"


def test_every_command_has_an_id_of_its_own(connected):
    ids = []

    def behave(peer):
        while True:
            command = peer.command()
            ids.append(command["id"])
            peer.answer(command, {})

    connection = connected(behave)
    for _ in range(50):
        connection.execute_qmp("query-status")
    assert len(set(ids)) == 50
    assert max(len(json.dumps(one)) for one in ids) <= 2


@pytest.mark.parametrize("number", ["1" * 4301, "-" + "9" * 5000, "1e999", "-1e999"])
def test_a_number_beyond_all_bounds_is_one_guests_matter(tmp_path, connected, number):
    """Fault: the listing of the whole node raised, and did not name the guest."""

    def bad(peer):
        peer.send(GREETING)
        peer.answer(peer.command(), {})
        id_ = json.dumps(peer.command()["id"]).encode()
        peer.send_bytes(b'{"return": {"actual": %s}, "id": %s}\r\n' % (number.encode(), id_))
        linger(peer)

    def good(peer):
        peer.send(GREETING)
        for value in ({}, {"actual": 1}):
            peer.answer(peer.command(), value)
        linger(peer)

    for name, behave in (("good", good), ("bad", bad), ("also-good", good)):
        StandIn(tmp_path / name, behave)
    paths = [tmp_path / name for name in ("good", "bad", "also-good")]
    answers = query_fleet(paths, ["query-balloon"], timeout=AMPLE)
    assert [answer.verdict for answer in answers] == ["answered", "broken", "answered"]
    assert answers[0].replies == answers[2].replies == [{"actual": 1}]
    assert isinstance(answers[1].error, errors.QmpProtocolError)
    assert str(tmp_path / "bad") in str(answers[1].error)

    def alone(peer):
        id_ = json.dumps(peer.command()["id"]).encode()
        peer.send_bytes(b'{"return": %s, "id": %s}\r\n' % (number.encode(), id_))
        linger(peer)

    (tmp_path / "stand-in").unlink(missing_ok=True)
    with pytest.raises(errors.QmpProtocolError, match="stand-in"):
        connected(alone).execute_qmp("query-status")


def test_a_flood_of_values_takes_neither_memory_nor_time(tmp_path):
    """Fault: 1.8 GiB, and 1.8 s beyond the deadline."""

    def flood(peer):
        peer.send(GREETING)
        peer.answer(peer.command(), {})
        peer.command()
        peer.send_bytes(b'{"return": [' + b"{}," * (21 << 20) + b'{}], "id": 1}\r\n')
        linger(peer)

    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        StandIn(path, flood)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.monotonic()
    answers = query_fleet(paths, ["query-cpus-fast"], timeout=5)
    assert time.monotonic() - begin < 6
    assert {answer.verdict for answer in answers} == {"broken"}
    assert "bytes" in str(answers[0].error)
    # most of it is what the stand-ins hold: 63 MiB each, twice for a moment
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 450 << 10


def test_a_flood_of_values_by_many_is_no_other_guests_matter(tmp_path):
    """Fault: as many values as may be made of all answers, and the last guest was broken."""

    def answering(value):
        def behave(peer):
            peer.send(GREETING)
            peer.answer(peer.command(), {})
            peer.answer(peer.command(), value)
            linger(peer)

        return behave

    flood = answering([0] * 65_000)
    paths = [tmp_path / f"{number}" for number in range(66)]
    for path in paths[:-1]:
        StandIn(path, flood)
    StandIn(paths[-1], answering([{"cpu-index": 0}]))
    *many, last = query_fleet(paths, ["query-cpus-fast"], timeout=20)
    assert last.verdict == "answered"
    assert last.replies == [[{"cpu-index": 0}]]
    assert [answer.verdict for answer in many].count("broken") == 1


def test_an_error_without_an_id_ends_the_connection_and_is_quoted(connected):
    def behave(peer):
        peer.command()
        peer.send({"error": {"class": "GenericError", "desc": "JSON\nlimit"}})
        linger(peer)

    connection = connected(behave)
    with pytest.raises(errors.QmpProtocolError, match=r'"JSON\\nlimit"'):
        connection.execute_qmp("query-status")
    assert not connection.is_connected()


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("query-name", {"x": [0] * 1_200_000}),
        ("query-name", {"x": "x" * (64 << 20)}),
        ("query-name", {"x": "\ud800"}),
        ("query-name", {"\udfff": 1}),
        ("query-name", {"x": "\uffff"}),
        ("query-name", {1: 1, "1": 2}),
        ("query-name", {"x": 10**400}),
        ("query-\ud800", {}),
    ],
    ids=["tokens", "size", "surrogate", "key", "noncharacter", "twice", "number", "name"],
)
def test_what_qemu_cannot_read_is_not_sent(qemu, command, arguments):
    with QmpConnection(str(qemu.path), AMPLE) as connection:
        with pytest.raises(errors.QmpError) as caught:
            connection.execute_qmp(command, arguments)
        assert type(caught.value) is errors.QmpError
        with pytest.raises(errors.QmpError):
            connection.send_qmp(QmpMessage({"execute": command, "arguments": arguments}))
        assert connection.execute_qmp("query-name") == {}
    with pytest.raises(errors.QmpError):
        query_fleet([str(qemu.path)], [(command, arguments)], timeout=AMPLE)


@pytest.mark.parametrize("id_", [1.0, -0.0, 1e2, 2**64, 0.1, {"b": 1, "a": [2.5]}, "A\U0001f600"])
def test_a_callers_id_is_found_as_qemu_writes_it(qemu, id_):
    with QmpConnection(str(qemu.path), AMPLE) as connection:
        connection.send_qmp(QmpMessage({"execute": "query-name", "id": id_}))
        assert connection.get_qmp_response("query-name") == {}
        assert connection.execute_qmp("query-name") == {}


def test_an_id_of_null_is_none(qemu):
    with QmpConnection(str(qemu.path), AMPLE) as connection:
        connection.send_qmp(QmpMessage({"execute": "query-name", "id": None}))
        assert connection.get_qmp_response("query-name") == {}


def test_a_refusals_words_forge_no_line(connected):
    def behave(peer):
        desc = "a\nroot: \x1b[2J\u2028" + "x" * (1 << 20)
        peer.refuse(peer.command(), {"class": "Gen\reric", "desc": desc})
        linger(peer)

    with pytest.raises(errors.QmpRefusedError) as caught:
        connected(behave).execute_qmp("query-status")
    text = str(caught.value)
    assert text.isprintable()
    assert len(text) < 2000


def test_nothing_came_keeps_the_connection(connected):
    def behave(peer):
        peer.answer(peer.command(), 1)
        linger(peer)

    connection = connected(behave)
    with pytest.raises(errors.QmpTimeoutError, match="nothing came"):
        connection.recv_qmp(timeout=0.3)
    assert connection.is_connected()
    assert connection.execute_qmp("query-status") == 1


def test_an_events_name_may_stand_alone(connected):
    def behave(peer):
        peer.send({"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}})
        linger(peer)

    assert connected(behave).wait_for_qmp_event("STOP", AMPLE).event_type == "STOP"


@pytest.mark.parametrize(
    "features",
    [
        {"vnet_hdrr": True},
        {"vhost": "no"},
        {"vnet_hdr": 2},
        {"mq": True},
        {"mq": ("yes", 1)},
        {1: 1},
    ],
)
def test_features_that_do_not_exist_are_refused(features):
    with pytest.raises(errors.TapError, match="features"):
        OpenTap(features=features)


@pytest.mark.parametrize("length", [1 << 21, 10**12, 1 << 62, 10**30])
def test_a_list_of_any_length_ends_no_process(connected, length):
    """Fault: room was made for as many as it says, or else the process was aborted."""
    connection, many = connected(), range(length)
    for call in (
        lambda: connection.execute_qmp("query-status", fds=many),
        lambda: connection.send_qmp(QmpMessage({"execute": "query-status"}), fds=many),
        lambda: query_fleet(many, ["query-status"], timeout=1),
        lambda: query_fleet(["a"], ["query-status"], timeout=1, pids=many),
        lambda: query_fleet(["/nowhere"], ["query-status"], timeout=1, pids=lambda: many),
        lambda: find_processes(many),
    ):
        with pytest.raises((ValueError, OverflowError)):
            call()
    assert connection.is_connected()


@pytest.mark.parametrize("text", ["5s", "", "-1", "nan", "inf", "0", "1\n2"])
def test_a_slip_in_the_setting_is_named(monkeypatch, text):
    monkeypatch.setenv("GANETI_HV_KVM_QMP_TIMEOUT", text)
    with pytest.raises(errors.QmpError, match="GANETI_HV_KVM_QMP_TIMEOUT"):
        QmpConnection("/nowhere")


def in_child(work) -> int:
    """The exit status of a forked child; 99 if it raised."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            status = work()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_connection_belongs_to_the_process_that_connected(qemu):
    """Fault: 44 of 200 answers went to the wrong process, without an error."""
    connection = QmpConnection(str(qemu.path), AMPLE)
    connection.connect()

    def child() -> int:
        if connection.is_connected():
            return 1
        try:
            connection.execute_qmp("query-name")
        except errors.QmpNotConnectedError as err:
            if "process" not in str(err):
                return 2
        connection.close()
        return 17

    for _ in range(5):
        assert in_child(child) == 17
        assert connection.execute_qmp("query-name") == {}
    connection.close()
    assert in_child(lambda: connection.connect() or 18) == 18


FIRST_CALLS = """
import os, signal, sys, threading, time
sys.setswitchinterval(1e-6)
from ganeti_hv_kvm import _native
def calls():
    for call in (
        lambda: _native.QmpConnection("/nowhere", 1).connect(),
        lambda: _native.QmpMessage({"a": 1}).to_bytes(),
        lambda: _native.QmpMessage.build_from_json_string('{"a": 123456789012345678901}'),
        lambda: _native.QmpConnection("/nowhere", 1).execute_qmp("a", {"b": 1}),
        lambda: _native.query_fleet(["/nowhere"], ["query-name"], timeout=1),
        lambda: _native.OpenTap(features={"x": 1}),
    ):
        try:
            call()
        except Exception:
            pass
threads = [threading.Thread(target=calls) for _ in range(3)]
for thread in threads:
    thread.start()
child = os.fork()
if child == 0:
    calls()
    os._exit(0)
for thread in threads:
    thread.join()
deadline = time.monotonic() + 20
while not (ended := os.waitpid(child, os.WNOHANG))[0]:
    if time.monotonic() > deadline:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        sys.exit("the child hangs")
    time.sleep(0.005)
sys.exit(os.waitstatus_to_exitcode(ended[1]))
"""


def test_no_fork_catches_a_first_call_half_made(tmp_path: Path):
    """Fault: one child in 40 waited for ever, whatever its deadline."""
    failed = []

    def run(count: int) -> None:
        for _ in range(count):
            done = subprocess.run(
                [sys.executable, "-c", FIRST_CALLS], capture_output=True, text=True, timeout=60
            )
            if done.returncode:
                failed.append(done.stderr)

    runs = [threading.Thread(target=run, args=(20,)) for _ in range(2)]
    for one in runs:
        one.start()
    for one in runs:
        one.join()
    assert failed == []
