"""What a QEMU tells is believed only within bounds."""

from __future__ import annotations

import logging

import pytest

from ganeti_hv_kvm.qmp_values import numbers, run_state
from ganeti_hv_kvm.qmp_values.numbers import (
    ADDED,
    BALLOON,
    CPUS,
    SIZE,
    STATUS,
    NonsenseError,
    Told,
)
from ganeti_hv_kvm.qmp_values.run_state import RunState

RUNNING = {"status": "running", "running": True}


def test_what_a_guest_tells():
    values = {STATUS: RUNNING, CPUS: [{"cpu-index": 0}] * 2, BALLOON: {"actual": 3 << 20}}
    assert numbers.read(values) == Told(3, 2, RunState("running"))
    assert numbers.read({}) == numbers.NOTHING
    assert numbers.read({SIZE: {"base-memory": 5 << 20}}).memory == 5
    assert numbers.read_size({SIZE: {"base-memory": 5 << 20}}) == 5
    assert numbers.read_size({}) is None


def test_memory_that_a_guest_was_given_while_it_runs_counts():
    data = {"id": "vmem0", "size": 4 << 20, "requested-size": 6 << 20, "max-size": 8 << 20}
    added = {ADDED: [{"type": "virtio-mem", "data": data}]}
    assert numbers.read({BALLOON: {"actual": 3 << 20}, **added}).memory == 7
    assert numbers.read_size({SIZE: {"base-memory": 5 << 20}, **added}) == 9
    # without the other two it is not known how much there is
    assert numbers.read(added) == numbers.NOTHING


NONSENSE = [
    {BALLOON: {"actual": 1 << 20}, ADDED: 7},
    {BALLOON: {"actual": -5e300}},
    {BALLOON: {"actual": 1.5}},
    {BALLOON: {"actual": float("nan")}},
    {BALLOON: {"actual": True}},
    {BALLOON: {"actual": -1}},
    {BALLOON: {"actual": 1 << 70}},
    {BALLOON: {"actual": 10**4300 - 1}},
    {BALLOON: {"actual": "1\n2"}},
    {BALLOON: {}},
    {BALLOON: [1]},
    {BALLOON: None},
    {CPUS: 3},
    {CPUS: {"a": 1}},
    {CPUS: [{}, 1]},
    {CPUS: [{}] * 70000},
    {STATUS: {"status": 7}},
    {STATUS: {"status": ["running"] * 100000}},
    {STATUS: []},
    {STATUS: {}},
]


@pytest.mark.parametrize("values", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_is_refused_and_quoted_in_short(values):
    with pytest.raises(NonsenseError) as raised:
        numbers.read(values)
    text = str(raised.value)
    assert len(text) < 300
    assert text.isascii()
    assert text.isprintable()


@pytest.mark.parametrize("status", ["a\nforged: line", "x" * (1 << 20), "\udc80", "\x1b[2J"])
def test_a_state_is_quoted_in_the_log(caplog, status):
    with caplog.at_level(logging.INFO):
        run_state.log("web1", numbers.read({STATUS: {"status": status}}).state)
    (record,) = caplog.records
    text = record.getMessage()
    assert len(text) < 300
    assert text.isascii()
    assert text.isprintable()
