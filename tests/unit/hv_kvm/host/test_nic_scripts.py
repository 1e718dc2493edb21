"""When the network is told that a NIC has gone: once, after the guest, and whatever fails."""

from __future__ import annotations

import os

import pytest
from ganeti import errors, objects
from ganeti.hypervisor import hv_base

from ganeti_hv_kvm.hv_kvm.guest.files import Directories, InstanceFiles
from ganeti_hv_kvm.hv_kvm.host import nic_scripts

NAME = "web1.example.com"


@pytest.fixture
def files(tmp_path):
    directories = Directories(*(str(tmp_path / name) for name in Directories._fields))
    for directory in directories:
        (tmp_path / directory).mkdir()
    made = InstanceFiles(directories, NAME)
    os.makedirs(made.nic_dir)
    return made


@pytest.fixture
def undone(monkeypatch):
    """A Ganeti that wants to know; the NICs' numbers and TAPs, as its script is told."""
    calls = []

    def deconfigure(cmd, instance, seq, nic, tap):
        calls.append((seq, tap, sorted(instance.GetTags())))
        if tap == "broken":
            raise errors.HypervisorError("the script failed")

    monkeypatch.setattr(hv_base, "DeConfigureNIC", deconfigure, raising=False)
    return calls


def with_taps(files, *taps):
    for seq, tap in enumerate(taps):
        with open(files.nic_file(seq), "w") as file:
            file.write(tap)
    return [(seq, objects.NIC(mac=f"aa:00:00:00:00:0{seq}")) for seq in range(len(taps))]


def test_each_is_undone_once(files, undone):
    guest = objects.Instance(name=NAME, tags={"web"})
    nics = with_taps(files, "tap0", "tap1")
    nic_scripts.undo_each(guest, files, nics)
    nic_scripts.undo_each(guest, files, nics)
    assert undone == [(0, "tap0", ["web"]), (1, "tap1", ["web"])]


def test_a_script_that_fails_keeps_none_of_the_others(files, undone, caplog):
    nics = with_taps(files, "broken", "tap1")
    nic_scripts.undo_each(objects.Instance(name=NAME, tags=set()), files, nics)
    assert [tap for _, tap, _ in undone] == ["broken", "tap1"]
    assert f"{NAME}, NIC 0 (broken), which has gone: the script failed" in caplog.text


def test_without_a_runtime_file_nobody_is_told(files, undone):
    nic_scripts.undo_all(files)
    assert undone == []


def test_a_broken_runtime_file_is_said(files, undone, caplog):
    with open(files.runtime, "w") as file:
        file.write("[]")
    nic_scripts.undo_all(files)
    assert undone == []
    assert f"The NICs of {NAME} are not known, so not undone" in caplog.text


def test_a_ganeti_that_does_not_ask_is_not_told(files, monkeypatch):
    monkeypatch.delattr(hv_base, "DeConfigureNIC", raising=False)
    assert not nic_scripts.are_undone()
    nics = with_taps(files, "tap0")
    nic_scripts.undo_each(objects.Instance(name=NAME), files, nics)
    assert os.path.exists(files.nic_file(0))


def test_the_tags_are_kept_for_the_end(files, undone):
    nic_scripts.remember(objects.Instance(name=NAME, tags={"b", "a"}), files)
    assert nic_scripts._tags(files) == {"a", "b"}
