"""What a guest's agent says is the guest's word: bounded, checked, and waited for only so long."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.qemu.guest_agent import GuestAgent, GuestVcpu

ONLINE = {"logical-id": 0, "online": True, "can-offline": False}
OFFLINE = {"logical-id": 1, "online": False, "can-offline": True}
SECONDS = 30.0


class Peer:
    """Answers on a real socket, each line by a function that gets what was said."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.heard: list[dict[str, Any]] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(1)

    def serve(self, answers: Callable[[dict[str, Any]], bytes | None]) -> None:
        def work() -> None:
            client, _ = self._listener.accept()
            # ours hangs up on it when it has heard enough
            hung_up = contextlib.suppress(BrokenPipeError, ConnectionResetError)
            with hung_up, client, client.makefile("rb") as lines:
                for line in lines:
                    said = json.loads(line.rpartition(b"\xff")[2])
                    self.heard.append(said)
                    answer = answers(said)
                    if answer is None:
                        return
                    client.sendall(answer)

        threading.Thread(target=work, daemon=True).start()

    def close(self) -> None:
        self._listener.close()


def reply(value: object) -> bytes:
    return json.dumps({"return": value}).encode() + b"\n"


def sound(said: dict[str, Any], **values: object) -> bytes:
    """A well-behaved agent; ``values`` are its answers by command."""
    if said["execute"] == "guest-sync-delimited":
        return b"\xff" + reply(said["arguments"]["id"])
    return reply(values[said["execute"].replace("-", "_")])


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    made = Peer(tmp_path / "qga")
    yield made
    made.close()


def test_which_vcpus_there_are_and_that_they_come_online(peer: Peer) -> None:
    peer.serve(lambda said: sound(said, guest_get_vcpus=[OFFLINE, ONLINE], guest_set_vcpus=1))
    with GuestAgent(peer.path, SECONDS) as agent:
        assert agent.vcpus() == [GuestVcpu(0, True), GuestVcpu(1, False)]
        assert agent.bring_online([1]) == 1
        assert not agent.is_late()
    assert peer.heard[-1]["arguments"] == {"vcpus": [{"logical-id": 1, "online": True}]}


def test_what_an_earlier_client_left_goes_by(peer: Peer) -> None:
    stale = b'half of an ans\xff{"return": 7}\n' + reply([OFFLINE]) + b"\xffnonsense\n[]\n"

    def answers(said: dict[str, Any]) -> bytes:
        before = stale if said["execute"] == "guest-sync-delimited" else b""
        return before + sound(said, guest_get_vcpus=[ONLINE])

    peer.serve(answers)
    with GuestAgent(peer.path, SECONDS) as agent:
        assert agent.vcpus() == [GuestVcpu(0, True)]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        7,
        {},
        [ONLINE] * 9000,
        [None],
        [{**ONLINE, "online": 1}],
        [{**ONLINE, "logical-id": True}],
        [{**ONLINE, "logical-id": -1}],
        [{**ONLINE, "logical-id": 1 << 70}],
        [{"online": True}],
    ],
)
def test_nonsense_is_not_believed(peer: Peer, answer: object) -> None:
    peer.serve(lambda said: sound(said, guest_get_vcpus=answer))
    with (
        GuestAgent(peer.path, SECONDS) as agent,
        pytest.raises(errors.HypervisorError, match="guest-get-vcpus has another form"),
    ):
        agent.vcpus()


@pytest.mark.parametrize("count", [True, -1, 2, "1", None])
def test_more_than_was_asked_for_cannot_be(peer: Peer, count: object) -> None:
    peer.serve(lambda said: sound(said, guest_set_vcpus=count))
    with (
        GuestAgent(peer.path, SECONDS) as agent,
        pytest.raises(errors.HypervisorError, match="guest-set-vcpus has another form"),
    ):
        agent.bring_online([1])


def test_a_refusal_is_quoted(peer: Peer) -> None:
    refusal = {"error": {"class": "GenericError", "desc": "not\nnow" + "x" * 1000}}

    def answers(said: dict[str, Any]) -> bytes:
        if said["execute"] == "guest-get-vcpus":
            return json.dumps(refusal).encode() + b"\n"
        return sound(said)

    peer.serve(answers)
    with (
        GuestAgent(peer.path, SECONDS) as agent,
        pytest.raises(errors.HypervisorError, match="refuses guest-get-vcpus") as raised,
    ):
        agent.vcpus()
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


def test_an_answer_without_end_is_given_up(peer: Peer) -> None:
    peer.serve(
        lambda said: b"x" * (3 << 20) if said["execute"] == "guest-get-vcpus" else sound(said)
    )
    with (
        GuestAgent(peer.path, SECONDS) as agent,
        pytest.raises(errors.HypervisorError, match="does not end its answer"),
    ):
        agent.vcpus()


def test_one_that_hangs_up(peer: Peer) -> None:
    peer.serve(lambda said: None if said["execute"] == "guest-get-vcpus" else sound(said))
    with (
        GuestAgent(peer.path, SECONDS) as agent,
        pytest.raises(errors.HypervisorError, match="closed the connection"),
    ):
        agent.vcpus()


def test_a_guest_without_an_agent_does_not_answer(peer: Peer) -> None:
    peer.serve(lambda _: b"")
    with pytest.raises(errors.HypervisorError, match=r"no answer within 0.2 s|timed out"):
        GuestAgent(peer.path, 0.2).__enter__()


def test_one_that_falls_silent_leaves_it_open_what_it_did(peer: Peer) -> None:
    peer.serve(lambda said: b"" if said["execute"] == "guest-set-vcpus" else sound(said))
    with (
        GuestAgent(peer.path, 1.0) as agent,
        pytest.raises(errors.HypervisorError, match="Whether it did that is not known"),
    ):
        agent.bring_online([1])


def test_a_talker_does_not_hold_the_call(peer: Peer) -> None:
    """One that goes on sending stale lines has no more time than a silent one."""
    peer.serve(lambda _: b'{"return": 0}\n' * 1000)
    with pytest.raises(errors.HypervisorError, match=r"no answer within 0.5 s|timed out"):
        GuestAgent(peer.path, 0.5).__enter__()


def test_no_socket(tmp_path: Path) -> None:
    with pytest.raises(errors.HypervisorError, match=r"the socket of the guest agent: .*No such"):
        GuestAgent(str(tmp_path / "none"), SECONDS).__enter__()
