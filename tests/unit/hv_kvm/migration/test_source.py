"""The node that a guest leaves: how a migration begins, and each end of it."""

from __future__ import annotations

import os

import pytest
from ganeti import errors

from ganeti_hv_kvm.errors import ProcessUnknownError
from ganeti_hv_kvm.hv_kvm.migration import afterwards, departure, paused_record, source
from unit.hv_kvm.command_line import samples
from unit.hv_kvm.node_of_one import instance

TARGET = "192.0.2.2"
NAME = samples.NAME
#: All of the guest was sent.
LEFT = {"run_state": "postmigrate", "migration": {"status": "completed"}}


@pytest.fixture
def guest(node):
    return node.running(instance())


def be(node, run_state, migration):
    node.qemu.run_state, node.qemu.migration = run_state, migration


def is_forgotten(node, guest):
    """Nothing of a migration is left on this node."""
    return departure.names() == set() and paused_record.read(guest) is None


# It begins


def test_live(node, guest):
    source.migrate(guest, TARGET, live=True)
    assert node.log == ["migrate-set-parameters", "migrate"]
    assert dict(node.qemu.told)["migrate"] == {"uri": f"tcp:{TARGET}:8102"}
    assert node.qemu.run_state == "running"
    assert departure.read(NAME).target == TARGET


def test_not_live(node, guest):
    source.migrate(guest, TARGET, live=False)
    assert node.log == ["migrate-set-parameters", "stop", "migrate"]
    assert paused_record.read(guest).run_state == "running"


def test_capabilities_are_set_before_anything_is_sent(node):
    guest = node.running(instance(migration_caps="xbzrle"))
    source.migrate(guest, TARGET, live=True)
    assert node.log == ["migrate-set-parameters", "migrate-set-capabilities", "migrate"]


def test_the_record_is_there_before_the_first_byte(node, guest):
    """Fault: this node loses its power, and comes back with the guest elsewhere."""
    found = []
    node.qemu.answers["migrate"] = lambda _arguments: found.append(departure.names()) or {}
    source.migrate(guest, TARGET, live=True)
    assert found == [{NAME}]


def test_without_a_record_nothing_is_sent(node, guest, tmp_path):
    (tmp_path / departure.DIRECTORY).write_text("")
    with pytest.raises(errors.HypervisorError):
        source.migrate(guest, TARGET, live=False)
    assert node.log == []
    assert node.qemu.run_state == "running"


def test_one_that_does_not_run(node, guest):
    node.end_qemu()
    with pytest.raises(errors.HypervisorError, match="does not run: there is nothing to send"):
        source.migrate(guest, TARGET, live=True)
    assert is_forgotten(node, guest)


@pytest.mark.parametrize(
    ("run_state", "status", "reason"),
    [
        ("inmigrate", "none", "has not arrived here itself"),
        ("postmigrate", "completed", "has left this node already"),
        ("running", "active", r"is under way \('active'\)"),
        ("running", "setup", r"is under way \('setup'\)"),
        ("finish-migrate", "device", r"is under way \('device'\)"),
    ],
)
def test_one_that_cannot_be_sent(node, guest, run_state, status, reason):
    be(node, run_state, {"status": status})
    with pytest.raises(errors.HypervisorError, match=reason):
        source.migrate(guest, TARGET, live=False)
    assert node.log == []
    assert node.qemu.run_state == run_state
    assert is_forgotten(node, guest)


@pytest.mark.parametrize("state", ["none", "failed", "cancelled", "completed"])
def test_one_that_came_or_failed_to_go_can_be_sent(node, guest, state):
    be(node, "running", {"status": state})
    source.migrate(guest, TARGET, live=True)
    assert node.log[-1] == "migrate"


@pytest.mark.parametrize("command", ["migrate-set-parameters", "stop", "migrate"])
def test_after_a_refusal_the_guest_goes_on_as_if_nothing_were(node, guest, command):
    node.qemu.refuse(command)
    with pytest.raises(errors.HypervisorError, match="not today"):
        source.migrate(guest, TARGET, live=False)
    assert node.qemu.run_state == "running"
    assert is_forgotten(node, guest)


def test_after_a_refusal_capabilities_are_taken_back(node):
    guest = node.running(instance(migration_caps="xbzrle"))
    node.qemu.refuse("migrate")
    with pytest.raises(errors.HypervisorError, match="not today"):
        source.migrate(guest, TARGET, live=True)
    told = [given for name, given in node.qemu.told if name == "migrate-set-capabilities"]
    assert [one["capabilities"][0]["state"] for one in told] == [True, False]


def test_one_that_its_owner_had_paused_stays_so(node, guest):
    node.qemu.run_state = "paused"
    node.qemu.refuse("migrate")
    with pytest.raises(errors.HypervisorError, match="not today"):
        source.migrate(guest, TARGET, live=False)
    assert "cont" not in node.log
    assert node.qemu.run_state == "paused"


def test_a_lost_answer_is_no_refusal(node, guest):
    """It may be on its way: nobody lets it go on here, and what is noted stays."""
    node.qemu.lose("migrate")
    with pytest.raises(errors.HypervisorError):
        source.migrate(guest, TARGET, live=False)
    assert "cont" not in node.log
    assert node.qemu.run_state == "paused"
    assert departure.names() == {NAME}
    assert paused_record.read(guest).run_state == "running"


# It is complete


def arrive(node, guest):
    source.migrate(guest, TARGET, live=True)
    be(node, LEFT["run_state"], LEFT["migration"])
    node.log.clear()


def test_what_stayed_behind_is_ended(node, guest, monkeypatch):
    arrive(node, guest)
    recorded = []
    end = node.end_qemu
    monkeypatch.setattr(
        node, "end_qemu", lambda: (recorded.append(departure.read(NAME).left), end())
    )
    source.finalize(guest, success=True, live=True)
    # from then on the watcher may find it down, and start it
    assert recorded == [True]
    assert node.qemu is None
    assert departure.read(NAME).left
    assert not os.path.exists(node.files.runtime)


def test_one_that_did_not_leave_is_not_ended(node, guest):
    source.migrate(guest, TARGET, live=True)
    with pytest.raises(errors.HypervisorError, match="has not left this node"):
        source.finalize(guest, success=True, live=True)
    assert node.qemu is not None
    assert os.path.exists(node.files.runtime)
    assert not departure.read(NAME).left


def test_whoever_does_not_answer_has_left_if_ganeti_says_so(node, guest):
    arrive(node, guest)
    node.qemu.refuse("query-migrate", times=9)
    source.finalize(guest, success=True, live=True)
    assert node.log == ["end qemu"]


def test_a_doubt_ends_nothing(node, guest):
    arrive(node, guest)
    node.doubt = ProcessUnknownError("no descriptor is left")
    with pytest.raises(errors.HypervisorError, match=r"was not touched.*no descriptor is left"):
        source.finalize(guest, success=True, live=True)
    node.doubt = None
    assert node.log == []
    assert os.path.exists(node.files.runtime)


def test_one_that_is_gone_is_cleaned_up(node, guest):
    arrive(node, guest)
    node.end_qemu()
    source.finalize(guest, success=True, live=True)
    assert not os.path.exists(node.files.runtime)
    assert departure.read(NAME).left


def test_nothing_is_ended_without_a_record(node, guest, tmp_path):
    arrive(node, guest)
    departure.forget(NAME)
    (tmp_path / departure.DIRECTORY).rmdir()
    (tmp_path / departure.DIRECTORY).write_text("")
    with pytest.raises(errors.HypervisorError, match="Nothing was ended or removed here"):
        source.finalize(guest, success=True, live=True)
    assert node.qemu is not None
    assert os.path.exists(node.files.runtime)


# It is aborted


@pytest.mark.parametrize("live", [True, False])
def test_a_guest_on_its_way_stays(node, guest, live):
    """Paused first: QEMU resumes by itself what it cancels, even where that comes too late."""
    source.migrate(guest, TARGET, live=live)
    node.log.clear()
    source.finalize(guest, success=False, live=live)
    assert node.log == [*(["stop"] if live else []), "migrate_cancel", "cont"]
    assert node.qemu.run_state == "running"
    assert is_forgotten(node, guest)
    assert os.path.exists(node.files.runtime)


def test_one_that_its_owner_had_paused_is_not_woken(node, guest):
    node.qemu.run_state = "paused"
    source.migrate(guest, TARGET, live=False)
    source.finalize(guest, success=False, live=False)
    assert node.qemu.run_state == "paused"
    assert "cont" not in node.log


@pytest.mark.parametrize(
    ("run_state", "status", "reason"),
    [
        ("postmigrate", "completed", "has left this node: its migration completed before"),
        ("paused", "postcopy-active", "runs on the target, and a part of its memory"),
        ("paused", "postcopy-paused", "runs on the target, and a part of its memory"),
        ("postmigrate", "cancelled", "was being handed over when its migration was cancelled"),
    ],
)
def test_one_that_may_run_elsewhere_is_not_resumed(node, guest, run_state, status, reason):
    source.migrate(guest, TARGET, live=False)
    be(node, run_state, {"status": status})
    node.log.clear()
    with pytest.raises(errors.HypervisorError, match=reason):
        source.finalize(guest, success=False, live=False)
    assert node.log == []
    assert node.qemu.run_state == run_state
    assert os.path.exists(node.files.runtime)
    assert departure.names() == {NAME}


def test_that_it_has_left_is_remembered_though_ganeti_aborts(node, guest):
    arrive(node, guest)
    with pytest.raises(errors.HypervisorError, match="has left this node"):
        source.finalize(guest, success=False, live=True)
    assert departure.read(NAME).left


def test_the_end_that_qemu_is_about_to_reach_is_waited_for(node, guest):
    """Its last state is being sent: neither pausing nor cancelling is of any use."""
    source.migrate(guest, TARGET, live=True)
    seen = iter([("finish-migrate", "device")] * 3 + [("postmigrate", "completed")] * 9)

    def look(_arguments):
        run_state, status = next(seen)
        node.qemu.run_state = run_state
        return {"status": status}

    node.qemu.answers["query-migrate"] = look
    node.log.clear()
    with pytest.raises(errors.HypervisorError, match="completed before it was aborted"):
        source.finalize(guest, success=False, live=True)
    assert node.log == []


def test_what_never_ends_is_left_alone(node, guest, monkeypatch):
    monkeypatch.setattr(source, "SETTLE", 0.2)
    source.migrate(guest, TARGET, live=True)
    be(node, "finish-migrate", {"status": "device"})
    node.log.clear()
    with pytest.raises(errors.HypervisorError, match="was not touched"):
        source.finalize(guest, success=False, live=True)
    assert node.log == []


@pytest.mark.parametrize("command", ["migrate_cancel", "query-status"])
def test_what_was_paused_and_not_settled_goes_on_when_qemu_tells(node, guest, command):
    source.migrate(guest, TARGET, live=False)
    node.log.clear()
    node.qemu.refuse(command, times=9)
    with pytest.raises(errors.HypervisorError, match="it cannot be told whether the guest is here"):
        source.finalize(guest, success=False, live=False)
    assert "cont" not in node.log
    assert paused_record.read(guest).aborted
    node.qemu.refuse(command, times=0)
    be(node, "paused", {"status": "cancelled"})
    afterwards.notice(guest)
    assert node.qemu.run_state == "running"
    assert is_forgotten(node, guest)


def test_a_doubt_touches_nothing(node, guest):
    source.migrate(guest, TARGET, live=True)
    node.log.clear()
    node.doubt = ProcessUnknownError("no descriptor is left")
    with pytest.raises(errors.HypervisorError, match=r"was not touched.*no descriptor is left"):
        source.finalize(guest, success=False, live=True)
    node.doubt = None
    assert node.log == []
    assert os.path.exists(node.files.runtime)
    assert departure.names() == {NAME}


def test_one_that_died_on_its_way_is_cleaned_up(node, guest):
    source.migrate(guest, TARGET, live=True)
    node.end_qemu()
    source.finalize(guest, success=False, live=True)
    assert node.left() == set()
    assert departure.names() == set()


def test_given_up(node, guest):
    source.migrate(guest, TARGET, live=True)
    assert source.give_up(guest) is True
    assert node.qemu.run_state == "running"
    assert is_forgotten(node, guest)


def test_given_up_too_late(node, guest):
    arrive(node, guest)
    assert source.give_up(guest) is False
    assert node.log == []
    assert departure.names() == {NAME}
