"""The tables of docs/migration.md: what each side does with what it sees."""

from __future__ import annotations

import re

import pytest

from ganeti_hv_kvm.hv_kvm.migration.side import GONE, SILENT, UNSEEN, NodeState
from ganeti_hv_kvm.migration_decision import AtSource, AtTarget, at_source, at_target, decide
from harness import paths

DOCS = paths.PROJECT / "docs/migration.md"

# fmt: off
STATUSES = (
    "none", "setup", "cancelling", "cancelled", "active", "postcopy-active",
    "postcopy-paused", "postcopy-recover", "completed", "failed", "colo", "pre-switchover",
    "device", "wait-unplug", "postcopy-recover-setup", "postcopy-device", "something-new",
)
# fmt: on
# fmt: off
RUN_STATES = (
    "debug", "inmigrate", "internal-error", "io-error", "paused", "postmigrate",
    "prelaunch", "finish-migrate", "restore-vm", "running", "save-vm", "shutdown",
    "suspended", "watchdog", "guest-panicked", "colo", "something-new",
)
# fmt: on


def view(status: str, run_state: str, outgoing: bool = False) -> NodeState:
    return NodeState(status=status, run_state=run_state, outgoing=outgoing)


@pytest.mark.parametrize(
    ("seen", "action"),
    [
        (GONE, AtSource.CLEAN_UP),
        (UNSEEN, AtSource.UNKNOWN),
        (SILENT, AtSource.END),
        (view("completed", "postmigrate"), AtSource.END),
        (view("completed", "finish-migrate"), AtSource.END),
        (view("completed", "prelaunch", outgoing=True), AtSource.END),
        (view("completed", "prelaunch"), AtSource.REFUSE),
        (view("completed", "running", outgoing=True), AtSource.REFUSE),
        (view("active", "prelaunch", outgoing=True), AtSource.REFUSE),
        (view("completed", "running"), AtSource.REFUSE),
        (view("completed", "paused"), AtSource.REFUSE),
        (view("active", "running"), AtSource.REFUSE),
        (view("failed", "postmigrate"), AtSource.REFUSE),
        (view("none", "running"), AtSource.REFUSE),
        (view("postcopy-active", "finish-migrate"), AtSource.REFUSE),
    ],
)
def test_source_after_success(seen, action):
    assert at_source(seen, True) is action


@pytest.mark.parametrize(
    ("seen", "action"),
    [
        (GONE, AtSource.CLEAN_UP),
        (UNSEEN, AtSource.UNKNOWN),
        (SILENT, AtSource.UNKNOWN),
        (view("none", "running"), AtSource.STAY),
        (view("none", "paused"), AtSource.STAY),
        (view("setup", "running"), AtSource.CANCEL),
        (view("wait-unplug", "running"), AtSource.CANCEL),
        (view("pre-switchover", "finish-migrate"), AtSource.CANCEL),
        (view("active", "running"), AtSource.PAUSE),
        (view("active", "paused"), AtSource.CANCEL),
        (view("active", "finish-migrate"), AtSource.WAIT),
        (view("device", "finish-migrate"), AtSource.WAIT),
        (view("cancelling", "running"), AtSource.WAIT),
        (view("cancelled", "running"), AtSource.STAY),
        (view("cancelled", "paused"), AtSource.STAY),
        (view("cancelled", "finish-migrate"), AtSource.WAIT),
        (view("cancelled", "postmigrate"), AtSource.DOUBTFUL),
        (view("failed", "running"), AtSource.STAY),
        (view("failed", "finish-migrate"), AtSource.WAIT),
        (view("failed", "postmigrate"), AtSource.STAY),
        (view("completed", "postmigrate"), AtSource.MOVED),
        (view("completed", "finish-migrate"), AtSource.MOVED),
        # left, and reset afterwards
        (view("completed", "prelaunch", outgoing=True), AtSource.MOVED),
        (view("completed", "prelaunch"), AtSource.STAY),
        (view("completed", "running"), AtSource.STAY),  # it came here by migration
        (view("completed", "paused"), AtSource.STAY),
        (view("postcopy-active", "finish-migrate"), AtSource.SPLIT),
        (view("postcopy-paused", "finish-migrate"), AtSource.SPLIT),
        (view("colo", "colo"), AtSource.SPLIT),
        (view("something-new", "running"), AtSource.PAUSE),
        (view("something-new", "postmigrate"), AtSource.WAIT),
    ],
)
def test_source_after_an_abort(seen, action):
    assert at_source(seen, False) is action


@pytest.mark.parametrize(
    ("seen", "success", "action"),
    [
        (GONE, True, AtTarget.LOST),
        (UNSEEN, True, AtTarget.UNKNOWN),
        (UNSEEN, False, AtTarget.UNKNOWN),
        (SILENT, True, AtTarget.UNKNOWN),
        (view("active", "inmigrate"), True, AtTarget.WAIT),
        (view("completed", "running"), True, AtTarget.DONE),
        (view("postcopy-active", "running"), True, AtTarget.DONE),
        (view("completed", "paused"), True, AtTarget.RESUME),
        # reset in the moment of its pause, or started paused: what the source told decides
        (view("completed", "prelaunch"), True, AtTarget.RESUME),
        (view("completed", "io-error"), True, AtTarget.DONE),
        (GONE, False, AtTarget.CLEAN_UP),
        (SILENT, False, AtTarget.UNKNOWN),
        (view("none", "inmigrate"), False, AtTarget.END),
        (view("active", "inmigrate"), False, AtTarget.END),
        (view("completed", "running"), False, AtTarget.KEEP),
        (view("completed", "paused"), False, AtTarget.KEEP),
        (view("none", "running"), False, AtTarget.KEEP),
        (view("something-new", "something-new"), False, AtTarget.KEEP),
    ],
)
def test_target(seen, success, action):
    assert at_target(seen, success) is action


@pytest.mark.parametrize(
    ("seen", "success", "aborted"),
    [
        (view("active", "inmigrate"), AtTarget.WAIT, AtTarget.END),
        # Fault: one that came here was taken for one that is being sent away.
        (view("completed", "running"), AtTarget.DONE, AtTarget.KEEP),
        (view("completed", "paused"), AtTarget.RESUME, AtTarget.KEEP),
        (view("completed", "running", outgoing=True), AtSource.REFUSE, AtSource.STAY),
        (view("completed", "postmigrate"), AtSource.END, AtSource.MOVED),
        (view("active", "running", outgoing=True), AtSource.REFUSE, AtSource.PAUSE),
        (view("none", "running"), AtSource.REFUSE, AtSource.STAY),
    ],
)
def test_the_side_is_what_qemu_tells(seen, success, aborted):
    assert (decide(seen, True), decide(seen, False)) == (success, aborted)


HANDED_OVER = {"postcopy-active", "postcopy-paused", "postcopy-recover", "colo"}


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("run_state", RUN_STATES)
@pytest.mark.parametrize("outgoing", [False, True])
def test_no_state_lets_a_guest_run_twice(status, run_state, outgoing):
    seen = view(status, run_state, outgoing)
    if status in HANDED_OVER:
        assert at_source(seen, False) in (AtSource.MOVED, AtSource.SPLIT)
    left = ("finish-migrate", "postmigrate", "prelaunch" if outgoing else "")
    if status == "completed" and run_state in left:
        assert at_source(seen, False) is AtSource.MOVED
    else:
        assert at_source(seen, True) is AtSource.REFUSE
    if at_source(seen, False) is AtSource.CANCEL:
        # else QEMU would resume it, however late that comes
        assert run_state != "running" or status in ("setup", "wait-unplug", "pre-switchover")
    if run_state != "inmigrate":
        assert at_target(seen, False) is AtTarget.KEEP


def test_the_operators_tables_name_each_action():
    text = re.sub(r"\s+", " ", DOCS.read_text())
    for action in (*AtSource, *AtTarget):
        assert f"`{action.name}`" in text, action
