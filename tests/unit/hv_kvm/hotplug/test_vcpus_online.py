"""vCPUs that a guest was given, and that its agent is to bring online."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.hotplug import vcpus
from unit.hv_kvm.qemu.test_guest_agent import OFFLINE, ONLINE, Peer, peer, sound

__all__ = ["peer"]


def guest(path: str, have: int) -> Any:
    @contextlib.contextmanager
    def monitor() -> Iterator[Any]:
        yield SimpleNamespace(execute_qmp=lambda command: [{}] * have)

    return SimpleNamespace(name="web1", files=SimpleNamespace(qga=path), monitor=monitor)


def test_it_is_asked_until_they_are(peer: Peer) -> None:
    """A guest sees a new vCPU some time after its QEMU, and brings it online some time later."""
    states = [[ONLINE], [ONLINE, OFFLINE], [ONLINE, OFFLINE], [ONLINE, {**OFFLINE, "online": True}]]
    told = iter(states)

    def answers(said: dict[str, Any]) -> bytes:
        asks = said["execute"] == "guest-get-vcpus"
        return sound(said, guest_get_vcpus=next(told) if asks else None, guest_set_vcpus=1)

    peer.serve(answers)
    vcpus.bring_online(guest(peer.path, 2))
    assert list(told) == []
    commands = [said["execute"].removeprefix("guest-") for said in peer.heard]
    asked = ["get-vcpus", "get-vcpus", "set-vcpus", "get-vcpus", "set-vcpus", "get-vcpus"]
    assert commands == ["sync-delimited", *asked]


def test_one_that_does_not_follow_is_not_waited_for_without_end(peer: Peer) -> None:
    peer.serve(lambda said: sound(said, guest_get_vcpus=[ONLINE, OFFLINE], guest_set_vcpus=0))
    with pytest.raises(errors.HotplugError, match=r"given 2 vCPUs, and has 1 online after 0.5 s"):
        vcpus.bring_online(guest(peer.path, 2), patience=0.5)


def test_none_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(errors.HotplugError, match=r"without a guest agent \(use_guest_agent\)"):
        vcpus.bring_online(guest(str(tmp_path / "none"), 2))
