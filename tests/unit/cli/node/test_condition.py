"""What is to be thought of a guest, by what was seen of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganeti_hv_kvm.cli.node import condition
from ganeti_hv_kvm.cli.node.condition import Rank
from ganeti_hv_kvm.cli.node.guests import LocalGuest
from ganeti_hv_kvm.cli.node.look import Look

VALUES = {
    "query-status": {"status": "running"},
    "query-cpus-fast": [{}, {}],
    "query-balloon": {"actual": 1 << 30},
    "query-version": {"qemu": {"major": 7, "minor": 2, "micro": 11}},
    "machine": "pc-i440fx-7.2-machine",
}


def look(**changes):
    seen = Look(
        guest=LocalGuest("web", Path("/nowhere")),
        pid=0,
        doubt=None,
        condition=None,
        verdict="answered",
        reason=None,
        holder=None,
        values=VALUES,
        refusals={},
    )
    return seen._replace(**changes)


def judge(**changes):
    return condition._judge(look(**changes), 3)


def test_one_that_runs():
    judged = judge()
    assert (judged.rank, judged.monitor, judged.state) == (Rank.RUNS, "answered", "running")
    told = {name: judged.values[name] for name in ("vcpus", "memory", "qemu", "machine", "reason")}
    assert told == {
        "vcpus": 2,
        "memory": 1024,
        "qemu": "7.2.11",
        "machine": "pc-i440fx-7.2",
        "reason": None,
    }


@pytest.mark.parametrize(
    ("state", "rank"),
    [("paused", Rank.NOTICE), ("io-error", Rank.TROUBLE), ("levitating", Rank.TROUBLE)],
)
def test_states(state, rank):
    judged = judge(values={**VALUES, "query-status": {"status": state}})
    assert (judged.rank, judged.state) == (rank, state)
    assert judged.values["reason"].startswith("the guest is ")


@pytest.mark.parametrize(
    ("seen", "monitor", "reason"),
    [
        ({"verdict": "busy", "holder": "socat (7)"}, "busy", "socat (7) holds its monitor"),
        ({"verdict": "silent", "condition": "frozen"}, "stopped", "the freezer of its cgroup"),
        ({"verdict": "stopped", "condition": "stopped"}, "stopped", "stopped by a signal"),
        ({"verdict": "silent"}, "silent", "no answer within 3 s"),
        ({"verdict": "gone", "condition": "exiting"}, "gone", "on its way out"),
        ({"verdict": "gone", "pid": None}, "gone", "no QEMU runs; left: nothing"),
        ({"verdict": "gone", "pid": None, "doubt": "EPERM"}, "gone", "cannot be told: EPERM"),
        ({"verdict": "broken", "reason": "no QMP"}, "broken", "no QMP"),
    ],
)
def test_silences(seen, monitor, reason):
    judged = judge(**{"values": {}, **seen})
    assert (judged.rank, judged.monitor, judged.state) == (Rank.TROUBLE, monitor, None)
    assert reason in judged.values["reason"]


def test_shut_down_by_its_user_is_no_trouble(tmp_path):
    (tmp_path / "ctrl").mkdir()
    guest = LocalGuest("web", tmp_path)
    guest.shutdown.touch()
    judged = judge(guest=guest, pid=None, verdict="gone", values={})
    assert (judged.rank, judged.values["reason"]) == (Rank.NOTICE, "its user shut it down")


@pytest.mark.parametrize(
    "nonsense",
    [
        {"query-status": {"status": 7}},
        {"query-status": []},
        {"query-cpus-fast": 3},
        {"query-balloon": {"actual": -5e300}},
    ],
)
def test_nonsense_is_believed_in_nothing(nonsense):
    judged = judge(values={**VALUES, **nonsense})
    assert (judged.rank, judged.monitor, judged.state) == (Rank.TROUBLE, "broken", None)
    assert judged.values["vcpus"] is None


@pytest.mark.parametrize("answer", [None, {}, {"qemu": {"major": "7"}}, {"qemu": [1]}])
def test_a_version_is_three_numbers(answer):
    assert judge(values={**VALUES, "query-version": answer}).values["qemu"] is None


def test_a_refusal_is_no_trouble():
    values = {name: VALUES[name] for name in ("query-status", "query-cpus-fast")}
    judged = judge(values=values, refusals={"query-balloon": "no balloon"})
    assert (judged.rank, judged.values["memory"]) == (Rank.RUNS, None)


def test_disks_are_named_as_quoted():
    answer = [
        {"device": "disk0", "io-status": "nospace"},
        {"device": "", "qdev": "/machine/x\n", "io-status": "failed"},
        {"device": "disk2", "io-status": "ok"},
        {"device": "cd"},
        7,
    ]
    told = condition._failed_disks(answer)
    assert told == r"disk0: no space is left, '/machine/x\n': it failed"
    assert condition._failed_disks("x") == ""
