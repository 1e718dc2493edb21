"""A fault at every step of every operation: it ends undone, and the same call then succeeds.

The steps are not listed here: an undisturbed run through the proxy tells which commands there are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.ganeti import settings
from harness import instance
from harness.proxy import ANY, COMMAND, HANDSHAKE, REPLY, Action, Message, Proxy, cut, drop, refuse
from system.hotplug.running import Running

pytestmark = [pytest.mark.only_3_0, pytest.mark.one_in(9)]

KINDS: dict[str, tuple[str, Action]] = {
    "refused": (COMMAND, refuse("injected")),
    "lost before": (COMMAND, cut),
    "lost after": (REPLY, cut),
    "unanswered": (REPLY, drop),
}


@dataclass(frozen=True)
class Operation:
    """Something to do, and how to undo it by other operations."""

    do: Callable[[Running], object]
    undo: Callable[[Running], object]
    prepare: Callable[[Running], object] = lambda _: None
    clean_up: Callable[[Running], object] = lambda _: None


def the_disk(running: Running) -> Any:
    return instance.disk(running.folder, 1)


def other_nic() -> Any:
    nic = instance.nic(1)
    nic.mac = "aa:00:00:99:99:99"
    return nic


def add_disk(running: Running) -> None:
    running.add_disk(1)


def remove_disk(running: Running) -> None:
    running.remove_disk(the_disk(running))


def add_nic(running: Running) -> None:
    running.add_nic(1)


def remove_nic(running: Running) -> None:
    running.remove_nic(instance.nic(1))


OPERATIONS = {
    "add a disk": Operation(add_disk, remove_disk),
    "remove a disk": Operation(remove_disk, add_disk, add_disk, remove_disk),
    "add a NIC": Operation(add_nic, remove_nic),
    "remove a NIC": Operation(remove_nic, add_nic, add_nic, remove_nic),
    "change a NIC": Operation(
        lambda running: running.modify_nic(other_nic()),
        lambda running: running.modify_nic(instance.nic(1)),
        add_nic,
        remove_nic,
    ),
}


# A change is a removal and an addition: what is new in it is that the old NIC is given back.
CASES = [
    (name, kind)
    for name in OPERATIONS
    for kind in KINDS
    if name != "change a NIC" or kind in ("refused", "lost after")
]


@pytest.fixture(scope="module")
def guest_of_file(make_running: Callable[..., Running]) -> Running:
    # SCSI disks go at once; PCI ones are in the tests of NICs
    return make_running(disk_type="scsi-hd", scsi_controller_type="virtio-scsi-pci")


@pytest.fixture
def proxy(running: Running) -> Iterator[Proxy]:
    with Proxy(running.qmp) as made:
        yield made


def counted(step: int) -> Callable[[Message], bool]:
    """True for the message of this number."""
    numbers = itertools.count()
    return lambda _message: next(numbers) == step


def steps_of(operation: Operation, running: Running, proxy: Proxy) -> list[str]:
    proxy.commands.clear()
    operation.do(running)
    return [name for name in proxy.commands if name not in HANDSHAKE]


def error_of(operation: Operation, running: Running) -> str | None:
    try:
        operation.do(running)
    except errors.HotplugError as error:
        return str(error)
    return None


def same(state: dict[str, Any]) -> dict[str, Any]:
    """Without what may differ each time: names of TAPs, and the proxy's sockets in this process."""
    ours = {name for name in state["our open files"] if "socket:" not in name}
    return {**state, "interfaces": len(state["interfaces"]), "our open files": ours}


@pytest.fixture
def patient(impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No guest is silent here, but one may be slow on a busy machine."""
    assert impatient is None
    monkeypatch.setenv(settings.UNPLUG.variable, "30")


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_fault_at_every_step(name: str, kind: str, running: Running, proxy: Proxy) -> None:
    operation = OPERATIONS[name]
    operation.prepare(running)
    before = same(running.state())
    steps = steps_of(operation, running, proxy)
    after = same(running.state())
    operation.undo(running)
    assert same(running.state()) == before
    assert len(steps) >= 5

    for number, step in enumerate(steps):
        what = f"{name}: step {number}, {step}, {kind}"
        where, action = KINDS[kind]
        fault = proxy.fail(where, ANY, action, matching=counted(number))
        if error := error_of(operation, running):
            assert "not undone" not in error, what
            left = same(running.state())
            if name.startswith("remove"):
                # What the guest has released cannot be had back; the rest is done by the retry.
                assert left["runtime"] == before["runtime"], what
            else:
                assert left == before, what
            operation.do(running)
        assert fault.hits == 1, what
        assert same(running.state()) == after, what
        operation.undo(running)
        assert same(running.state()) == before, what
        proxy.heal()
    operation.clean_up(running)
