"""The node that a guest comes to: what is refused, what waits, and each end of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm.errors import ProcessUnknownError
from ganeti_hv_kvm.hv_kvm.command_line import START_PAUSED
from ganeti_hv_kvm.hv_kvm.migration import departure, info, target
from unit.hv_kvm.command_line import samples
from unit.hv_kvm.node_of_one import instance

HERE = "192.0.2.2"
NAME = samples.NAME
DEVICES = [{"slot": 2, "function": 0, "id": {"vendor": 0x1234, "device": 0x1111}}]


def arriving(qemu):
    """A QEMU that waits for its guest."""
    qemu.run_state = "inmigrate"
    qemu.answers["query-pci"] = [{"bus": 0, "devices": DEVICES}]


@pytest.fixture
def made():
    return instance(nics=2)


@pytest.fixture
def guest(node, made):
    node.prepare = arriving
    return node.guest(made)


def told(node, made, run_state="running"):
    """What a source tells of it; this node then has nothing of it."""
    node.prepare = arriving
    source = node.running(made)
    node.qemu.run_state = run_state
    text = info.make(source)
    node.end_qemu()
    node.hypervisor.CleanupInstance(NAME)
    node.log.clear()
    return text


# It is accepted


def test_qemu_waits(node, guest, made):
    text = told(node, made)
    target.accept(guest, text, HERE)
    assert node.log == [
        *("save", "open tap", "open tap", "network script 0 tap0", "network script 1 tap1"),
        *("run qemu", "migrate-incoming"),
    ]
    assert dict(node.qemu.told)["migrate-incoming"] == {"uri": f"tcp:{HERE}:8102"}
    assert "-incoming" in node.command
    assert node.stored().kvm_nics[0].mac == made.nics[0].mac
    assert Path(node.files.nic_file(1)).read_text() == "tap1"
    assert node.are_fds_closed()


def test_capabilities_are_set_before_anybody_can_connect(node):
    made = instance(migration_caps="xbzrle")
    text = told(node, made)
    target.accept(node.guest(made), text, HERE)
    assert node.log[-2:] == ["migrate-set-capabilities", "migrate-incoming"]


def test_no_route_leads_here_before_the_guest(node, made):
    made.nics[1].nicparams[constants.NIC_MODE] = constants.NIC_MODE_ROUTED
    text = told(node, made)
    target.accept(node.guest(made), text, HERE)
    assert "network script 0 tap0" in node.log
    assert "network script 1 tap1" not in node.log
    node.qemu.run_state = "paused"
    target.finalize(node.guest(made), text, success=True)
    assert "network script 1 tap1" in node.log


def test_a_script_that_runs_once_more_on_arrival_may_fail_before(node, made, monkeypatch, caplog):
    """Mode "ext" of upstream's development version."""
    monkeypatch.setattr(constants, "NIC_MODE_EXT", "ext", raising=False)
    for one in made.nics:
        one.nicparams[constants.NIC_MODE] = "ext"
    text = told(node, made)
    node.failing.add("network script")
    target.accept(node.guest(made), text, HERE)
    assert node.log[-1] == "migrate-incoming"
    assert "NIC 1, before the migration: network script: it fails" in caplog.text


def test_one_that_was_here_before_is_welcome(node, guest, made):
    departure.begin(made, "192.0.2.1")
    departure.mark_left(made)
    text = told(node, made)
    target.accept(guest, text, HERE)
    assert departure.names() == set()


# It is refused


def test_one_that_runs_here(node, guest, made):
    text = told(node, made)
    node.start_qemu()
    with pytest.raises(errors.HypervisorError, match="it runs already"):
        target.accept(guest, text, HERE)
    assert node.log == []
    assert node.qemu is not None


def test_one_of_which_it_is_not_known_whether_it_runs_here(node, guest, made):
    text = told(node, made)
    node.doubt = ProcessUnknownError("no descriptor is left")
    with pytest.raises(errors.HypervisorError, match="no descriptor is left"):
        target.accept(guest, text, HERE)
    assert node.log == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not JSON"),
        ("nonsense", "is not JSON"),
        ("{}", "is not that of a KVM guest"),
        ("[]", "is not that of a KVM guest"),
        ("[[]]", "is not that of a KVM guest"),
        ('[["kvm", null], [], {}, []]', "is not that of a KVM guest"),
        ('[["kvm"], 7, {}, []]', "NICs: no list, but a int"),
    ],
)
def test_what_is_no_guest(node, guest, text, why):
    with pytest.raises(errors.HypervisorError, match=why):
        target.accept(guest, text, HERE)
    assert node.log == []
    assert node.left() == set()


def without_mode(text, nicparams):
    loaded = json.loads(text)
    loaded[1][1]["nicparams"] = nicparams
    return json.dumps(loaded)


_NO_MODE = [None, {}, {"mode": []}]


@pytest.mark.parametrize("nicparams", _NO_MODE)
def test_a_nic_that_does_not_say_how_it_is_connected(node, guest, made, nicparams):
    """Fault: QEMU was started, and then a bare KeyError."""
    text = without_mode(told(node, made), nicparams)
    with pytest.raises(errors.HypervisorError, match="has no mode in its parameters"):
        target.accept(guest, text, HERE)
    assert node.log == []
    assert node.left() == set()


def test_a_machine_that_is_not_known_here(node, guest, made):
    loaded = json.loads(told(node, made))
    loaded[4]["machine"] = "pc-i440fx-99.0"
    with pytest.raises(errors.HypervisorError, match=r"no machine type pc-i440fx-99\.0"):
        target.accept(guest, json.dumps(loaded), HERE)
    assert node.log == []


def test_a_guest_with_another_device(node, guest, made):
    loaded = json.loads(told(node, made))
    loaded[4]["pci"] = {"03.0": "1af4:1000 nic-1"}
    departure.begin(made, "192.0.2.1")
    with pytest.raises(errors.HypervisorError, match="not accepted, and runs on where it is"):
        target.accept(guest, json.dumps(loaded), HERE)
    assert "migrate-incoming" not in node.log
    assert node.qemu is None
    assert node.left() == {f"{departure.DIRECTORY}/{NAME}"}


@pytest.mark.parametrize("command", ["migrate-set-capabilities", "migrate-incoming", "query-pci"])
def test_a_qemu_that_refuses_is_ended_and_nothing_is_left(node, command):
    made = instance(nics=1, migration_caps="xbzrle")
    text = told(node, made)

    def refusing(qemu):
        arriving(qemu)
        qemu.refuse(command)

    node.prepare = refusing
    with pytest.raises(errors.HypervisorError, match="not today"):
        target.accept(node.guest(made), text, HERE)
    assert "end qemu" in node.log
    assert node.qemu is None
    assert node.left() == set()
    assert node.are_fds_closed()


@pytest.mark.parametrize("what", ["save", "open tap", "network script", "run qemu"])
def test_a_start_that_fails_leaves_nothing(node, guest, made, what):
    text = told(node, made)
    node.failing.add(what)
    with pytest.raises(errors.HypervisorError, match=f"{what}: it fails"):
        target.accept(guest, text, HERE)
    assert node.qemu is None
    assert node.left() == set()
    assert node.are_fds_closed()


# It is here


@pytest.fixture
def accepted(node, guest, made):
    """A QEMU waits for a guest; this is what its source told."""
    text = told(node, made)
    target.accept(guest, text, HERE)
    node.log.clear()
    return text


def test_a_guest_that_ran_goes_on(node, guest, accepted):
    node.qemu.run_state = "paused"
    target.finalize(guest, accepted, success=True)
    assert node.qemu.run_state == "running"


@pytest.mark.parametrize("nicparams", _NO_MODE)
def test_a_nic_that_cannot_be_set_up_does_not_keep_the_guest_paused(
    node, guest, accepted, caplog, nicparams
):
    """Fault: a bare KeyError, and the guest stood still for good."""
    node.qemu.run_state = "paused"
    target.finalize(guest, without_mode(accepted, nicparams), success=True)
    assert node.qemu.run_state == "running"
    assert "has no mode in its parameters" in caplog.text


def test_a_guest_that_runs_already_is_left_to_it(node, guest, accepted):
    node.qemu.run_state = "running"
    target.finalize(guest, accepted, success=True)
    assert node.log == []


def test_a_guest_that_its_owner_had_paused_stays_so(node, guest, made):
    text = told(node, made, run_state="paused")
    target.accept(guest, text, HERE)
    node.qemu.run_state = "paused"
    target.finalize(guest, text, success=True)
    assert node.qemu.run_state == "paused"


def test_a_guest_that_was_started_paused_and_ran_since_runs_on(node, made):
    loaded = json.loads(told(node, made))
    loaded[0].append(START_PAUSED)
    text = json.dumps(loaded)
    target.accept(node.guest(made), text, HERE)
    node.qemu.run_state = "paused"
    target.finalize(node.guest(made), text, success=True)
    assert node.qemu.run_state == "running"


def test_its_last_bytes_are_waited_for(node, guest, accepted):
    states = iter(["inmigrate"] * 3 + ["paused"] * 9)

    def look(_arguments):
        node.qemu.run_state = next(states)
        return {"status": "active" if node.qemu.run_state == "inmigrate" else "completed"}

    node.qemu.answers["query-migrate"] = look
    target.finalize(guest, accepted, success=True)
    assert node.qemu.run_state == "running"


def test_one_that_does_not_arrive_is_not_touched(node, guest, accepted, monkeypatch):
    monkeypatch.setattr(target, "ARRIVAL", 0.2)
    with pytest.raises(errors.HypervisorError, match="has not arrived completely"):
        target.finalize(guest, accepted, success=True)
    assert node.log == []
    assert node.qemu is not None


def test_one_that_is_lost_is_said(node, guest, accepted):
    node.end_qemu()
    with pytest.raises(errors.HypervisorError, match="should be here now, but its QEMU is gone"):
        target.finalize(guest, accepted, success=True)
    assert os.path.exists(node.files.runtime)


def test_a_runtime_file_that_is_not_there_is_written(node, guest, accepted):
    """Ganeti's own module accepted it, and wrote none."""
    os.unlink(node.files.runtime)
    node.qemu.run_state = "paused"
    target.finalize(guest, accepted, success=True)
    assert node.log == ["save", "cont"]
    assert node.stored().kvm_nics[1].hvinfo


def test_a_full_disk_does_not_keep_the_guest_paused(node, guest, accepted):
    os.unlink(node.files.runtime)
    node.qemu.run_state = "paused"
    node.failing.add("save")
    with pytest.raises(errors.HypervisorError, match="is here, and was taken over, but"):
        target.finalize(guest, accepted, success=True)
    assert node.qemu.run_state == "running"


# It is aborted


def test_a_qemu_that_waits_in_vain_is_ended(node, guest, accepted):
    target.finalize(guest, accepted, success=False)
    # first: from then on nothing can run here
    assert node.log[:2] == ["stop", "end qemu"]
    assert node.left() == set()


@pytest.mark.parametrize("run_state", ["paused", "running"])
def test_a_guest_that_is_here_is_not_ended(node, guest, accepted, run_state):
    node.qemu.run_state = run_state
    with pytest.raises(errors.HypervisorError, match="its migration had completed"):
        target.finalize(guest, accepted, success=False)
    assert node.log == []
    assert node.qemu is not None
    assert os.path.exists(node.files.runtime)


def test_a_guest_that_arrives_in_the_last_moment_is_not_ended(node, guest, accepted):
    def stop(_arguments):
        node.qemu.run_state = "paused"
        return {}

    node.qemu.answers["stop"] = stop
    with pytest.raises(errors.HypervisorError, match="its migration had completed"):
        target.finalize(guest, accepted, success=False)
    assert node.log == ["stop"]
    assert node.qemu is not None


def test_a_qemu_that_does_not_tell_is_not_ended(node, guest, accepted):
    node.qemu.refuse("query-status", times=9)
    with pytest.raises(errors.HypervisorError, match="was not touched"):
        target.finalize(guest, accepted, success=False)
    assert node.qemu is not None
    assert os.path.exists(node.files.runtime)


def test_a_doubt_ends_nothing(node, guest, accepted):
    node.doubt = ProcessUnknownError("no descriptor is left")
    for success in (True, False):
        with pytest.raises(errors.HypervisorError, match=r"was not touched.*no descriptor is left"):
            target.finalize(guest, accepted, success=success)
    node.doubt = None
    assert node.log == []
    assert os.path.exists(node.files.runtime)


def test_one_that_is_gone_is_cleaned_up(node, guest, accepted):
    node.end_qemu()
    target.finalize(guest, accepted, success=False)
    assert node.left() == set()
