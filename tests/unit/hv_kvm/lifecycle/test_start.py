"""The order of a start, and what is left of one that fails: every step of it, once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ganeti import errors

from ganeti_hv_kvm.errors import ProcessUnknownError
from ganeti_hv_kvm.hv_kvm.command_line import START_PAUSED
from ganeti_hv_kvm.hv_kvm.guest import process
from ganeti_hv_kvm.hv_kvm.host import taps
from ganeti_hv_kvm.hv_kvm.lifecycle import start
from unit.hv_kvm.command_line import samples
from unit.hv_kvm.node_of_one import instance

_TWO_NICS = [
    *("save", "open tap", "open tap", "network script 0 tap0", "network script 1 tap1"),
    "run qemu",
]


def begin(node, *, nics=2, paused=False, disks=1, **hvparams):
    made = [samples.disk(seq=number) for number in range(disks)]
    start.start_new(node.guest(instance(nics=nics, **hvparams)), made, paused)


def test_one_after_the_other(node):
    begin(node)
    assert node.log == [*_TWO_NICS, "cont"]
    assert node.qemu.run_state == "running"


def test_what_it_leaves_is_what_others_read(node):
    begin(node)
    assert node.are_fds_closed()
    stored = node.stored()
    assert [nic.hvinfo["id"] for nic in stored.kvm_nics] == [
        f"nic-0{number}000000-1111-4222" for number in range(2)
    ]
    taps_of = [Path(node.files.nic_file(seq)).read_text() for seq in range(2)]
    assert taps_of == ["tap0", "tap1"]
    # one start's descriptors are nothing for the next one
    assert not any("fd=" in word for word in stored.kvm_cmd)
    assert any("fd=" in word for word in node.command)


def test_qemu_waits_until_all_is_ready(node):
    """CPU masks and passwords come before the guest's first instruction."""
    begin(node, nics=0, cpu_mask="0")
    assert "-S" in node.command
    assert node.log.index("run qemu") < node.log.index("cpu affinity 0") < node.log.index("cont")


def test_a_password_comes_before_the_guest_runs(node, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("sesame\n")
    made = instance(vnc_bind_address="127.0.0.1", vnc_password_file=str(secret))
    start.start_new(node.guest(made), [], False)
    assert node.log.index("set_password") < node.log.index("cont")
    assert dict(node.qemu.told)["set_password"] == {"protocol": "vnc", "password": "sesame"}
    assert "sesame" not in Path(node.files.runtime).read_text()


@pytest.mark.parametrize(
    ("protocol", "content", "says"),
    [
        ("vnc", b"\xff\xfe", "codec can't decode"),
        ("spice", b"\xff\xfe", "codec can't decode"),
        ("spice", b"x" * 61, "SPICE takes one of 60 bytes"),
        ("spice", "\N{SNOWMAN}".encode() * 21, "SPICE takes one of 60 bytes"),
    ],
)
def test_a_password_that_qemu_would_not_take(node, tmp_path, protocol, content, says):
    (tmp_path / "secret").write_bytes(content)
    name = {"vnc": "vnc_bind_address", "spice": "spice_bind"}[protocol]
    with pytest.raises(errors.HypervisorError, match=f"No password can be read from .*{says}"):
        begin(node, **{name: "::1", f"{protocol}_password_file": str(tmp_path / "secret")})
    assert node.log == []


def test_a_mask_for_each_vcpu_that_the_guest_was_born_with(node):
    """A number that was changed since waits for a cold start."""
    begin(node, cpu_mask="0:0", kvm_extra="-smp cpus=2,maxcpus=2")
    assert "cpu affinity 0:0" in node.log


def test_started_paused(node):
    begin(node, paused=True)
    assert "cont" not in node.log
    assert START_PAUSED in node.stored().kvm_cmd


def test_what_is_wrong_is_found_before_anything_is_done(node):
    with pytest.raises(errors.HypervisorError, match="No password can be read"):
        begin(node, vnc_bind_address="127.0.0.1", vnc_password_file="/nonexistent/secret")
    with pytest.raises(errors.HypervisorError):
        begin(node, cpu_mask="0:1:2")
    assert node.log == []
    assert node.left() == set()


@pytest.mark.parametrize(
    ("what", "undone"),
    [
        ("save", []),
        ("open tap", []),
        ("network script", ["undo network 0 tap0"]),
        ("run qemu", ["undo network 1 tap1", "undo network 0 tap0"]),
        ("cpu affinity", ["end qemu", "undo network 1 tap1", "undo network 0 tap0"]),
    ],
)
def test_a_step_that_fails_leaves_nothing(node, what, undone):
    node.failing.add(what)
    with pytest.raises(errors.HypervisorError, match=f"{what}: it fails"):
        begin(node, cpu_mask="0")
    failed = next(place for place, done in enumerate(node.log) if done.startswith(what))
    assert node.log[failed + 1 :] == undone
    assert node.qemu is None
    assert node.left() == set()
    assert node.are_fds_closed()


def test_a_qemu_that_refuses_to_go_on_is_ended(node):
    node.prepare = lambda qemu: qemu.refuse("cont")
    with pytest.raises(errors.HypervisorError, match="not today"):
        begin(node)
    assert node.log[-3:] == ["end qemu", "undo network 1 tap1", "undo network 0 tap0"]
    assert node.left() == set()


def test_a_qemu_that_cannot_be_ended_keeps_its_files(node, monkeypatch):
    """Without them nobody would find it again."""
    node.failing.add("cpu affinity")

    def refuse(_files):
        raise errors.HypervisorError("process 7 is still there")

    monkeypatch.setattr(process, "kill", refuse)
    with pytest.raises(errors.HypervisorError) as caught:
        begin(node, cpu_mask="0")
    said = str(caught.value)
    assert "cpu affinity: it fails; not undone: QEMU (process 7 is still there)" in said
    assert "files of the instance (in use)" in said
    assert node.qemu is not None
    assert os.path.exists(node.files.runtime)
    assert not any(done.startswith("undo network") for done in node.log)


def test_a_qemu_that_was_ended_and_is_there_all_the_same_keeps_its_files(node, monkeypatch):
    node.failing.add("cpu affinity")
    monkeypatch.setattr(process, "kill", lambda _files: None)
    with pytest.raises(errors.HypervisorError, match=f"left to its QEMU, process {os.getpid()}"):
        begin(node, cpu_mask="0")
    assert os.path.exists(node.files.runtime)


def test_whether_qemu_runs_cannot_be_told(node, monkeypatch):
    """A doubt is no absence: nothing is removed."""

    def lose_sight(_files, _nics=None):
        node.doubt = ProcessUnknownError("no descriptor is left")
        raise node.doubt

    monkeypatch.setattr(taps, "write_files", lose_sight)
    with pytest.raises(errors.HypervisorError, match="not undone: QEMU"):
        begin(node)
    assert "end qemu" not in node.log
    assert os.path.exists(node.files.runtime)


def test_one_that_runs_is_not_started(node):
    found = node.files.pidfile, 4711, True
    with pytest.raises(errors.HypervisorError, match=r"runs already \(process 4711\)"):
        start.check_down("web", found)
    start.check_down("web", (node.files.pidfile, 0, False))
