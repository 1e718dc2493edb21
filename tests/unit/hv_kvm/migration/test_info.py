"""What travels with a guest, and what is believed of it."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.ganeti import generation
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.migration import info
from ganeti_hv_kvm.hv_kvm.migration.side import SILENT, NodeState

RUNTIME = [["/usr/bin/qemu", "-name", "web"], [], {"acpi": True}, []]
TOLD = {"run_state": "running", "source": "node1", "machine": "pc-i440fx-7.2"}
INSTANCE = SimpleNamespace(name="web", primary_node="node1")


class Qmp:
    """A QEMU that tells what its guest does, its machine and its drives."""

    timeout = 5.0

    def __init__(self, seen, *drives):
        self._seen = seen
        self._answers = {
            "query-migrate": {"status": seen.status},
            "query-status": {"status": seen.run_state},
            "qom-get": "pc-i440fx-7.2-machine",
            "query-block": [{"device": drive} for drive in drives],
        }

    def __enter__(self):
        if not self._seen.answers:
            raise errors.HypervisorError("it does not answer")
        return self

    def __exit__(self, *error):
        return None

    def execute_qmp(self, command, arguments=None):
        return self._answers[command]


def guest(seen, *drives, runtime=RUNTIME, order=None):
    order = [] if order is None else order

    def read(name):
        order.append(name)
        return json.dumps(runtime)

    seams = SimpleNamespace(
        pid_alive=lambda name: ("", os.getpid(), True),
        qmp_connection=lambda path: Qmp(seen, *drives),
        read_runtime=read,
        reconcile_devices=lambda instance: order.append("compared"),
    )
    return Guest(INSTANCE, SimpleNamespace(name="web", qmp="/qmp"), seams)


def make(seen=None, runtime=RUNTIME):
    return info.make(guest(seen or NodeState(run_state="running"), runtime=runtime))


def test_five_elements_of_which_four_are_the_runtime():
    text = make()
    assert isinstance(text, str)
    assert json.loads(text) == [*RUNTIME, TOLD]
    assert json.loads(info.runtime_of(text)) == RUNTIME


def test_what_ganetis_own_module_sends_stays_as_it_is():
    text = json.dumps(RUNTIME)
    assert info.runtime_of(text) == text
    assert info.runtime_of(text.encode()) == text


def test_devices_are_compared_before_the_file_is_read():
    order = []
    info.make(guest(NodeState(run_state="running"), order=order))
    assert order == ["compared", "web"]


def test_a_qemu_that_does_not_answer_keeps_nobody_from_cleaning_up():
    order = []
    assert json.loads(info.make(guest(SILENT, order=order))) == RUNTIME
    assert order == ["web"]


@pytest.mark.parametrize(("state", "runs"), [("running", True), ("paused", False)])
def test_the_source_says_whether_it_runs(state, runs):
    assert info.was_running(INSTANCE, make(NodeState(run_state=state))) is runs


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(json.dumps(RUNTIME), id="not said"),
        pytest.param(make(NodeState(run_state="postmigrate")), id="asked too late"),
        pytest.param(
            json.dumps([*RUNTIME, {"run_state": "paused", "source": "node7"}]),
            id="said at an earlier migration",
        ),
        pytest.param(json.dumps([*RUNTIME, 5]), id="no dict"),
        pytest.param(
            json.dumps([*RUNTIME, {"run_state": 5, "source": "node1"}]), id="said as no word"
        ),
    ],
)
def test_unless_it_is_said_the_command_decides(text):
    assert info.was_running(INSTANCE, text) is True
    runtime = json.loads(text)
    runtime[0].append("-S")
    assert info.was_running(INSTANCE, json.dumps(runtime)) is False


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '["kvm"]',
        "nonsense",
        "[[]]",
        '[["kvm", null]]',
        '[["kvm", "a\\u0000b"]]',
        '[["kvm", "\\ud800"]]',
        "[" * 100_000,
        "[[" + "9" * 5000 + "]]",
        '[["' + "x" * (1 << 20) + '"]]',
        b"\xff",
        None,
        5,
    ],
    ids=range(15),
)
def test_damage_is_an_error_of_the_family(text):
    with pytest.raises(errors.HypervisorError, match="migration information"):
        info.runtime_of(text)


def test_the_alias_of_a_machine_becomes_the_type_that_qemu_has():
    runtime = [["/usr/bin/qemu", "-machine", "pc,accel=kvm"], [], {}, []]
    sent = json.loads(info.runtime_of(make(runtime=runtime)))
    assert sent[0] == ["/usr/bin/qemu", "-machine", "pc-i440fx-7.2,accel=kvm"]


@pytest.mark.parametrize(("drive", "bus"), [("ide0-hd0", "ide.0"), ("", "ide.1")])
def test_ide_disks_are_where_qemu_has_them(drive, bus):
    runtime = [["/usr/bin/qemu"], [], {"disk_type": "ide"}, [[{"uuid": "a-b-c-d-e"}, "/l", None]]]
    text = info.make(guest(NodeState(run_state="running"), drive, runtime=runtime))
    disk = json.loads(info.runtime_of(text))[3][0][0]
    here = {"driver": "ide-hd", "id": "disk-a-b-c", "bus": bus, "unit": 0}
    assert disk.get("hvinfo") == (here if generation.HAS_BLOCKDEV else None)


def test_the_machine_that_the_source_has_is_the_guests_from_then_on():
    runtime = [["qemu", "-machine", "pc"], [], {constants.HV_KVM_MACHINE_VERSION: "pc"}, []]
    sent = json.dumps([*runtime, {"machine": "pc-i440fx-7.2"}])
    command, _, hvparams, _ = json.loads(info.runtime_of(sent))
    assert command[-1] == "pc-i440fx-7.2"
    assert hvparams == {constants.HV_KVM_MACHINE_VERSION: "pc-i440fx-7.2"}


OFFER = {"tls": "prefer", "number": "ab" * 32, "port": 8202, "channels": 0}


def test_an_offer_of_an_earlier_migration_is_none_of_this_one():
    """Fault: Ganeti's own module keeps what came with a guest, and hands it on."""
    text = json.dumps([*RUNTIME, {"source": "node1", "offer": OFFER}])
    assert info.offer_of(INSTANCE, text).port == 8202
    elsewhere = SimpleNamespace(name="web", primary_node="node2")
    assert not info.offer_of(elsewhere, text)
