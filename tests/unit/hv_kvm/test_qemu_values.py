"""What a QEMU tells is believed only within bounds."""

from __future__ import annotations

import logging

import pytest

from ganeti_hv_kvm.hv_kvm import qemu_values
from ganeti_hv_kvm.hv_kvm.qemu_values import BALLOON, CPUS, SIZE, STATUS, NonsenseError, Told

RUNNING = {"status": "running", "running": True}


def test_what_a_guest_tells():
    values = {STATUS: RUNNING, CPUS: [{"cpu-index": 0}] * 2, BALLOON: {"actual": 3 << 20}}
    assert qemu_values.read("web1", values) == Told(3, 2)
    assert qemu_values.read("web1", {}) == Told(None, None)
    assert qemu_values.read_size({SIZE: {"base-memory": 5 << 20}}) == 5
    assert qemu_values.read_size({}) is None


NONSENSE = [
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
        qemu_values.read("web1", values)
    text = str(raised.value)
    assert len(text) < 300
    assert text.isascii()
    assert text.isprintable()


@pytest.mark.parametrize("status", ["a\nforged: line", "x" * (1 << 20), "\udc80", "\x1b[2J"])
def test_a_state_is_quoted_in_the_log(caplog, status):
    with caplog.at_level(logging.INFO):
        qemu_values.read("web1", {STATUS: {"status": status}})
    (record,) = caplog.records
    text = record.getMessage()
    assert len(text) < 300
    assert text.isascii()
    assert text.isprintable()
