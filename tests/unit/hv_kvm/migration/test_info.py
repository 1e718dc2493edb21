"""What travels with a guest, and what is believed of it."""

from __future__ import annotations

import contextlib
import json
from types import SimpleNamespace

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm import compat
from ganeti_hv_kvm.hv_kvm.migration import info
from ganeti_hv_kvm.hv_kvm.migration.view import SILENT, View

RUNTIME = [["/usr/bin/qemu", "-name", "web"], [], {"acpi": True}, []]
TOLD = {"run_state": "running", "source": "node1", "machine": "pc-i440fx-7.2"}
INSTANCE = SimpleNamespace(name="web", primary_node="node1")


class Qmp:
    """A QEMU that tells its machine and its drives."""

    def __init__(self, *drives):
        self._answers = {
            "qom-get": "pc-i440fx-7.2-machine",
            "query-block": [{"device": drive} for drive in drives],
        }

    def execute_qmp(self, command, arguments=None):
        return self._answers[command]


def guest(view, *drives):
    def monitor():
        return contextlib.nullcontext(Qmp(*drives))

    return SimpleNamespace(name="web", instance=INSTANCE, look=lambda: view, monitor=monitor)


def make(view=None, runtime=RUNTIME, **options):
    seen = view or View(run_state="running")
    return info.make(guest(seen), lambda name: json.dumps(runtime), **options)


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

    def read(name):
        order.append(name)
        return json.dumps(RUNTIME)

    info.make(guest(View(run_state="running")), read, lambda: order.append("compared"))
    assert order == ["compared", "web"]


def test_a_qemu_that_does_not_answer_keeps_nobody_from_cleaning_up():
    assert json.loads(make(SILENT, reconcile=lambda: 1 / 0)) == RUNTIME


@pytest.mark.parametrize(("state", "runs"), [("running", True), ("paused", False)])
def test_the_source_says_whether_it_runs(state, runs):
    assert info.was_running(INSTANCE, make(View(run_state=state))) is runs


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(json.dumps(RUNTIME), id="not said"),
        pytest.param(make(View(run_state="postmigrate")), id="asked too late"),
        pytest.param(
            json.dumps([*RUNTIME, {"run_state": "paused", "source": "node7"}]),
            id="said at an earlier migration",
        ),
        pytest.param(json.dumps([*RUNTIME, 5]), id="no dict"),
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
    text = info.make(guest(View(run_state="running"), drive), lambda name: json.dumps(runtime))
    disk = json.loads(info.runtime_of(text))[3][0][0]
    here = {"driver": "ide-hd", "id": "disk-a-b-c", "bus": bus, "unit": 0}
    assert disk.get("hvinfo") == (here if compat.HAS_BLOCKDEV else None)
