"""Counters of guests, and how Prometheus reads them."""

from __future__ import annotations

import pytest

from ganeti_hv_kvm.cli.node import figures, prometheus


@pytest.mark.parametrize(
    "answer",
    [
        None,
        7,
        {},
        [7],
        [{"device": "x"}],
        [{"device": 7, "stats": {}}],
        [{"stats": {}}],
        [{"device": "floppy0", "stats": {"rd_bytes": 0}}],
    ],
)
def test_nonsense_is_left_out(answer):
    assert figures.disks(answer) == []


def test_disks_by_either_name_and_counters_within_bounds():
    answer = [
        {
            "node-name": "a",
            "device": "hotdisk-0",
            "stats": {"rd_bytes": 5, "rd_total_time_ns": 2_000_000_000},
        },
        {
            "device": "",
            "node-name": "b",
            "qdev": "/machine/peripheral/disk-1/virtio-backend",
            "stats": {"rd_bytes": -1, "wr_bytes": True, "wr_operations": 1 << 70},
        },
    ]
    one, two = figures.disks(answer)
    assert (one.name, one.counters) == ("hotdisk-0", {"read_bytes": 5, "read_time_seconds": 2.0})
    assert (two.name, two.counters) == ("disk-1", {})
    assert len(figures.disks([answer[0]] * 5000)) == 256


@pytest.mark.parametrize(
    ("value", "text"),
    [('a"b', r"a\"b"), ("a\\b", r"a\\b"), ("a\nb", r"a\\nb"), ("\udc80ü\x1b", r"\\udc80ü\\x1b")],
)
def test_labels(value, text):
    assert prometheus.escaped(value) == text


def test_text():
    metric = prometheus.Metric("x", "gauge", "An x.", [({}, 1.0), ({"a": "b"}, 0.5)])
    assert prometheus.text([metric]) == (
        "# HELP ganeti_kvm_x An x.\n# TYPE ganeti_kvm_x gauge\n"
        'ganeti_kvm_x 1\nganeti_kvm_x{a="b"} 0.5\n'
    )
