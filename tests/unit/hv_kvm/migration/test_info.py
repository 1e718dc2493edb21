"""What travels with a guest, and what is believed of it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.migration import info
from ganeti_hv_kvm.hv_kvm.migration.view import SILENT, View

RUNTIME = [["/usr/bin/qemu", "-name", "web"], [], {"acpi": True}, []]
INSTANCE = SimpleNamespace(name="web", primary_node="node1")


def guest(view):
    return SimpleNamespace(name="web", instance=INSTANCE, look=lambda: view)


def make(view=None, runtime=RUNTIME, **options):
    seen = view or View(run_state="running")
    return info.make(guest(seen), lambda name: json.dumps(runtime), **options)


def test_five_elements_of_which_four_are_the_runtime():
    text = make()
    assert isinstance(text, str)
    assert json.loads(text) == [*RUNTIME, {"run_state": "running", "source": "node1"}]
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


@pytest.mark.parametrize("text", ["", "{}", "[]", '["kvm"]', "nonsense"])
def test_damage_is_an_error_of_the_family(text):
    with pytest.raises(errors.HypervisorError, match="migration information"):
        info.runtime_of(text)
