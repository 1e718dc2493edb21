"""The judge of injected faults sees each kind of wrong; `make test-inject` would not otherwise."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from inject import faults, judge, truth
from inject.operations import OPERATIONS
from inject.tracee import Call, Fault, Outcome
from inject.truth import Truth

FAMILY = ["HypervisorError", "GenericError"]
EIO = Fault("openat", 1, "EIO")
BEFORE = Truth()
AFTER = Truth(
    {"here: QEMU of web1": ("4711",), "interface 1": ("tap0",)}, {"here: QEMU of web1": 4711}
)
HALF = Truth({"interface 1": ("tap0",)})


@pytest.fixture
def case(monkeypatch):
    monkeypatch.setattr(truth, "qemus", dict)
    bench = SimpleNamespace(nodes={})
    return judge.Case(bench, OPERATIONS["start"])


def problem(case, outcome, now, fault=EIO):
    return case._problem(outcome, now, judge.Expected(BEFORE, AFTER, Outcome()), fault)


@pytest.mark.parametrize(
    ("outcome", "now", "fault", "words"),
    [
        (Outcome(kinds=["OSError"], text="full"), BEFORE, EIO, "another family"),
        (Outcome(died="hung"), BEFORE, EIO, "hung"),
        (Outcome(leaked=["/dev/net/tun"]), AFTER, EIO, "left open"),
        (Outcome(), HALF, EIO, "not as it should be"),
        (Outcome(), BEFORE, EIO, "not as it should be"),
        (Outcome(kinds=FAMILY, text="it failed"), HALF, EIO, "not named"),
        (Outcome(kinds=FAMILY), BEFORE, Fault("read", 1, "EINTR"), "an interrupt"),
    ],
)
def test_each_wrong_is_seen(case, outcome, now, fault, words):
    assert words in problem(case, outcome, now, fault)


@pytest.mark.parametrize(
    ("outcome", "now", "verdict"),
    [
        (Outcome(), AFTER, judge.DONE),
        (Outcome(leaked=["pipe: 7"]), AFTER, judge.DONE),
        (Outcome(kinds=FAMILY), BEFORE, judge.NOT_DONE),
        (Outcome(kinds=FAMILY, text="tap0 is left"), HALF, judge.NAMED),
        (Outcome(kinds=FAMILY), AFTER, judge.FOLLOWED),
    ],
)
def test_what_is_right_is_called_by_its_name(case, outcome, now, verdict):
    assert problem(case, outcome, now) == ""
    expected = judge.Expected(BEFORE, AFTER, Outcome())
    assert case._verdict(outcome, now, expected).outcome == verdict


def test_a_guest_that_is_in_no_list_is_missed(case, monkeypatch):
    qemu = truth.Qemu(4711, "web1", "/node/pid/web1")
    monkeypatch.setattr(truth, "qemus", lambda: {4711: qemu})
    case.bench.nodes["here"] = SimpleNamespace(root="/node", call=lambda _: [])
    assert "in no list" in problem(case, Outcome(), AFTER)
    case.bench.nodes["here"] = SimpleNamespace(root="/node", call=lambda _: ["web1"])
    assert problem(case, Outcome(), AFTER) == ""


def test_a_guest_that_ended_must_have_been_asked(case):
    def told(*names):
        return SimpleNamespace(events=lambda: [{"event": name} for name in names])

    assert "without being asked" in case._ended_unasked(told("SHUTDOWN"), AFTER, BEFORE)
    assert case._ended_unasked(told("POWERDOWN", "SHUTDOWN"), AFTER, BEFORE) == ""
    assert case._ended_unasked(told(), AFTER, AFTER) == ""


def test_calls_that_differ_in_numbers_alone_are_of_one_kind():
    calls = [
        Call("openat", 'AT_FDCWD</w>, "/root/pid/web1", O_RDONLY', "3", 1),
        Call("openat", 'AT_FDCWD</w>, "/root/pid/web2", O_RDONLY', "4", 2),
        Call("getpid", "", "7", 1),
        Call("openat", 'AT_FDCWD</w>, "/root/conf/x", O_WRONLY|O_CREAT', "4", 3),
    ]
    found = list(faults.points("stop", calls, ["/root"], 1))
    assert {fault.ordinal for fault, _ in found} == {1, 3}
    assert {fault.error for fault, _ in found if fault.ordinal == 3} >= {"ENOSPC", "EMFILE"}
