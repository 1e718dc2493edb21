"""QEMU's run states in words."""

from __future__ import annotations

import json
import logging
import re

import pytest

from ganeti_hv_kvm.qmp_values import run_state
from ganeti_hv_kvm.qmp_values.run_state import RunState
from harness import paths


class Monitor:
    def __init__(self, reply):
        self.reply = reply

    def execute_qmp(self, command):
        assert command == "query-status"
        return self.reply


@pytest.mark.parametrize("machine", ["none", "prelaunch"])
def test_recorded_replies(machine):
    file = paths.PROJECT / f"tests/data/qmp/7.2/query-status-{machine}.json"
    reply = json.loads(file.read_text())["return"]
    state = run_state.ask(Monitor(reply))
    assert state.status == reply["status"]
    assert state.is_running == reply["running"]


@pytest.mark.parametrize("status", ["io-error", "guest-panicked", "internal-error", "watchdog"])
def test_what_needs_a_person_is_a_warning_with_the_name_and_the_word(caplog, status):
    run_state.log("web1", RunState(status))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert re.search(rf"web1 .*\({status}\)", record.getMessage())


@pytest.mark.parametrize("status", ["paused", "inmigrate", "postmigrate"])
def test_what_somebody_wanted_is_no_warning(caplog, status):
    caplog.set_level(logging.INFO)
    run_state.log("web1", RunState(status))
    assert [record.levelno for record in caplog.records] == [logging.INFO]


def test_a_guest_that_runs_is_not_worth_a_line(caplog):
    caplog.set_level(logging.DEBUG)
    run_state.log("web1", RunState("running"))
    assert caplog.records == []


def test_a_state_of_a_later_qemu_is_told_by_its_word():
    state = RunState("levitating")
    assert not state.is_running
    assert state.is_trouble
    assert "levitating" in state.words
