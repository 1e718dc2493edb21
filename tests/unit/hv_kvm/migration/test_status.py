"""QEMU's states in Ganeti's words."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.migration import status

UNFINISHED = [
    "setup",
    "active",
    "device",
    "wait-unplug",
    "cancelling",
    "colo",
    "postcopy-recover",
    "postcopy-recover-setup",
    "something-new",
]


class Qemu:
    """Answers query-migrate, and notes what else it is told."""

    def __init__(self, answer, refuses=False):
        self.told = []
        self._answer = answer
        self._refuses = refuses

    def execute_qmp(self, command, arguments=None):
        if command == "query-migrate":
            return self._answer
        self.told.append((command, arguments))
        if self._refuses:
            raise errors.HypervisorError("too late")
        return {}


def get(qemu, caps="", pid=7):
    hvparams = {constants.HV_KVM_MIGRATION_CAPS: caps, constants.HV_MIGRATION_DOWNTIME: 30}
    guest = SimpleNamespace(
        name="web",
        instance=SimpleNamespace(hvparams=hvparams),
        files=None,
        pid=lambda: pid,
        monitor=lambda seconds: nullcontext(qemu),
    )
    return status.get(guest)


@pytest.mark.parametrize("state", UNFINISHED)
def test_what_is_not_the_end_is_active(state):
    assert get(Qemu({"status": state})).status == constants.HV_MIGRATION_ACTIVE


@pytest.mark.parametrize("state", ["completed", "postcopy-active"])
def test_words_that_ganeti_has(state):
    assert get(Qemu({"status": state})).status == state


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({}, "never begun"),
        ({"status": "failed", "error-desc": "no route to host"}, "failed: no route to host"),
        ({"status": "failed"}, "failed$"),
        ({"status": "cancelled"}, "was cancelled"),
        ({"status": "postcopy-paused"}, "migrate-recover"),
    ],
)
def test_a_bad_end_is_an_error_with_its_reason(answer, text):
    with pytest.raises(errors.HypervisorError, match=text):
        get(Qemu(answer))


def test_a_qemu_that_has_gone():
    with pytest.raises(errors.HypervisorError, match="ended"):
        get(Qemu({}), pid=None)


def test_progress():
    answer = {"status": "active", "ram": {"transferred": 3, "total": 12, "dirty-sync-count": 1}}
    told = get(Qemu(answer))
    assert (told.transferred_ram, told.total_ram) == (3, 12)


def test_nothing_to_divide_by():
    told = get(Qemu({"status": "active", "ram": {"transferred": 0, "total": 0}}))
    assert getattr(told, "total_ram", None) is None


@pytest.mark.parametrize(
    ("caps", "passes", "switched"),
    [
        ("postcopy-ram", 2, True),
        ("events:x-postcopy-ram", 5, True),
        ("postcopy-ram", 1, False),
        ("xbzrle", 9, False),
        ("", 9, False),
    ],
)
def test_postcopy_after_two_passes(caps, passes, switched):
    qemu = Qemu({"status": "active", "ram": {"dirty-sync-count": passes}})
    told = get(qemu, caps)
    assert qemu.told == ([("migrate-start-postcopy", None)] if switched else [])
    assert told.status == "active"
    assert told.postcopy_status == ("postcopy-active" if switched else None)


def test_postcopy_that_comes_too_late_is_no_failure():
    qemu = Qemu({"status": "active", "ram": {"dirty-sync-count": 2}}, refuses=True)
    assert get(qemu, "postcopy-ram").postcopy_status is None


def test_postcopy_is_begun_once():
    qemu = Qemu({"status": "postcopy-active", "ram": {"dirty-sync-count": 2}})
    get(qemu, "postcopy-ram")
    assert qemu.told == []


def test_qemu_is_told_to_go_on_before_the_switch_over():
    qemu = Qemu({"status": "pre-switchover"})
    assert get(qemu).status == "active"
    assert qemu.told == [("migrate-continue", {"state": "pre-switchover"})]
