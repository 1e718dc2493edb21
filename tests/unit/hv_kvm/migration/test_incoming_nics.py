"""Which network script runs when, on the node that a guest comes to."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ganeti import constants, errors
from ganeti.hypervisor import hv_base

from ganeti_hv_kvm.hv_kvm.migration import incoming_nics

MODES = ["bridged", "routed", "ext", "openvswitch"]


def nic(mode):
    return {
        "uuid": f"u-{mode}",
        "mac": "aa:00:00:00:00:01",
        "hvinfo": {},
        "nicparams": {"mode": mode},
    }


@pytest.fixture
def scripts():
    """What was set up: (number, interface, further arguments)."""
    return []


@pytest.fixture
def configure(scripts):
    def run(instance, seq, nic, tap, **more):
        scripts.append((seq, tap, more))

    return run


@pytest.fixture
def ext(monkeypatch):
    """A Ganeti with mode "ext": its scripts are told at which end of a migration they run."""
    monkeypatch.setattr(constants, "NIC_MODE_EXT", "ext", raising=False)


@pytest.fixture
def no_ext(monkeypatch):
    monkeypatch.delattr(constants, "NIC_MODE_EXT", raising=False)


def after_arrival(configure, folder, modes=MODES):
    for seq, _ in enumerate(modes):
        (folder / str(seq)).write_text(f"tap{seq}")
    guest = SimpleNamespace(
        name="web",
        instance=SimpleNamespace(name="web"),
        files=SimpleNamespace(nic_file=lambda seq: str(folder / str(seq))),
        seams=SimpleNamespace(configure_nic=configure),
    )
    text = json.dumps([["kvm"], [nic(mode) for mode in modes], {}, []])
    incoming_nics.after_arrival(guest, text)


def test_routes_wait_for_the_guest(configure, scripts, tmp_path, no_ext):
    after_arrival(configure, tmp_path, ["bridged", "routed", "routed"])
    assert scripts == [(1, "tap1", {}), (2, "tap2", {})]


def test_scripts_learn_the_phase_where_ganeti_has_mode_ext(configure, scripts, tmp_path, ext):
    after_arrival(configure, tmp_path)
    post = {"extra_env": {"MIGRATION_PHASE": "post"}}
    assert scripts == [(1, "tap1", post), (2, "tap2", post)]


def test_before_arrival(configure, scripts, ext):
    prepare = incoming_nics.before_arrival(configure)
    for seq, mode in enumerate(["bridged", "ext"]):
        prepare(SimpleNamespace(name="web"), seq, SimpleNamespace(nicparams={"mode": mode}), "tap")
    assert scripts == [(0, "tap", {}), (1, "tap", {"extra_env": {"MIGRATION_PHASE": "pre"}})]


def test_before_arrival_mode_ext_may_fail(ext):
    def fail(*args, **kwargs):
        raise errors.HypervisorError("script failed")

    prepare = incoming_nics.before_arrival(fail)
    prepare(SimpleNamespace(name="web"), 0, SimpleNamespace(nicparams={"mode": "ext"}), "tap")
    with pytest.raises(errors.HypervisorError):
        prepare(SimpleNamespace(name="web"), 0, SimpleNamespace(nicparams={"mode": "bridged"}), "t")


@pytest.fixture
def undone(monkeypatch):
    """What was undone: (number, interface)."""
    told = []

    def down(cmd, instance, seq, nic, tap):
        told.append((seq, tap))

    monkeypatch.setattr(hv_base, "DeConfigureNIC", down, raising=False)
    return told


def arriving(folder, modes=MODES):
    for seq, _ in enumerate(modes):
        (folder / str(seq)).write_text(f"tap{seq}")
    files = SimpleNamespace(name="web", nic_file=lambda seq: str(folder / str(seq)))
    guest = SimpleNamespace(name="web", instance=SimpleNamespace(name="web"), files=files)
    return guest, json.dumps([["kvm"], [nic(mode) for mode in modes], {}, []])


def test_a_guest_that_does_not_come(undone, tmp_path):
    guest, text = arriving(tmp_path)
    incoming_nics.undo(guest, text)
    # a route was not set up yet
    assert undone == [(0, "tap0"), (2, "tap2"), (3, "tap3")]
    incoming_nics.undo(guest, text)
    assert len(undone) == 3


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[["kvm"], 7]'])
def test_a_guest_of_which_nothing_is_known_does_not_come(undone, tmp_path, caplog, text):
    incoming_nics.undo(arriving(tmp_path)[0], text)
    assert undone == []
    assert "web" in caplog.text


def test_nothing_is_undone_where_ganeti_does_not_ask_for_it(monkeypatch, tmp_path):
    monkeypatch.delattr(hv_base, "DeConfigureNIC", raising=False)
    incoming_nics.undo(arriving(tmp_path)[0], "not even read")
    assert (tmp_path / "0").exists()


def test_one_that_fails_keeps_none_from_the_others(scripts, tmp_path, caplog):
    def fail_once(instance, seq, nic, tap, **more):
        if seq == 0:
            raise errors.HypervisorError("no route")
        scripts.append(seq)

    after_arrival(fail_once, tmp_path, ["routed", "routed"])
    assert scripts == [1]
    assert "no route" in caplog.text


def test_an_interface_that_is_not_known(configure, scripts, tmp_path, caplog, no_ext):
    after_arrival(configure, tmp_path, ["routed", "routed"])
    (tmp_path / "0").unlink()
    scripts.clear()
    guest = SimpleNamespace(
        name="web",
        instance=SimpleNamespace(name="web"),
        files=SimpleNamespace(nic_file=lambda seq: str(tmp_path / str(seq))),
        seams=SimpleNamespace(configure_nic=configure),
    )
    incoming_nics.after_arrival(
        guest, json.dumps([["kvm"], [nic("routed"), nic("routed")], {}, []])
    )
    assert scripts == [(1, "tap1", {})]
    assert "NIC 0" in caplog.text
