"""Files of guests that do not run: what is said, what is removed, and what never is."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from ganeti_hv_kvm.cli.doctor import leftovers, repair
from ganeti_hv_kvm.cli.frame.finding import Level
from ganeti_hv_kvm.cli.node import look
from ganeti_hv_kvm.cli.node.guests import LocalGuest
from ganeti_hv_kvm.cli.node.look import Found, Look

NAME = "web1.example.com"


@pytest.fixture
def guest(tmp_path):
    for name in ("pid", "ctrl", "conf", "nic"):
        (tmp_path / name).mkdir()
    return LocalGuest(NAME, tmp_path)


def seen(guest, pid=None, doubt=None):
    return Look(guest, pid, doubt, None, "gone", None, None, {}, {})


def leave(guest):
    """What a QEMU that was killed leaves."""
    guest.pidfile.write_text("4711\n")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(guest.qmp))
    guest.runtime.write_text("[]")


def diagnoses(*looks, youngest=0.0):
    return list(leftovers.diagnoses(looks, youngest))


def fix(found):
    steps = [step for one in found for step in one.steps]
    said = []
    outcomes = list(repair.carry_out(steps, said.append))
    return outcomes, said


def test_a_guest_that_is_gone(guest):
    leave(guest)
    files, runtime = diagnoses(seen(guest))
    assert files.finding.level is Level.TROUBLE
    assert f"pid/{NAME}, ctrl/{NAME}.qmp" in files.finding.text
    assert "went down by itself" in runtime.finding.text
    outcomes, said = fix([files, runtime])
    assert [one.why_not for one in outcomes] == [None, None]
    assert said == [
        f"remove {guest.pidfile} ...",
        "  done",
        f"remove {guest.qmp} ...",
        "  done",
    ]
    assert not guest.pidfile.exists()
    assert not guest.qmp.exists()
    assert guest.runtime.exists()


def test_what_is_young_may_be_of_a_start(guest):
    leave(guest)
    files, _ = diagnoses(seen(guest), youngest=60.0)
    assert files.steps == ()
    assert "may be of a start" in files.finding.text


def test_cannot_tell_is_never_fixed(guest):
    leave(guest)
    (one,) = diagnoses(seen(guest, doubt="EPERM"))
    assert one.finding.level is Level.UNKNOWN
    assert one.steps == ()


@pytest.mark.parametrize("found", [Found(None, "EPERM"), Found(7)])
def test_the_last_look_decides(guest, monkeypatch, found):
    leave(guest)
    told = diagnoses(seen(guest))
    monkeypatch.setattr(look, "find", lambda _: found)
    outcomes, said = fix(told)
    assert all(one.why_not for one in outcomes)
    assert "not done" in said[1]
    assert guest.pidfile.exists()


def test_one_that_listens_is_left_though_its_pid_file_is_stale(guest):
    """The real look, with a real listener."""
    guest.pidfile.write_text("4711\n")
    code = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen();"
    with subprocess.Popen(
        [sys.executable, "-c", f"{code} print(flush=True); input()", str(guest.qmp)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as listener:
        listener.stdout.readline()
        outcomes, _ = fix(diagnoses(seen(guest)))
    assert all("runs now" in one.why_not for one in outcomes)
    assert guest.qmp.exists()


def test_its_user_shut_it_down(guest):
    leave(guest)
    guest.shutdown.touch()
    (one,) = diagnoses(seen(guest))
    assert (one.finding.level, one.steps) == (Level.NOTE, ())


def test_what_lies_in_the_place_of_a_file_is_left(guest):
    guest.pidfile.mkdir()
    assert diagnoses(seen(guest)) == []


def test_what_contradicts_a_guest_that_runs(guest):
    guest.pidfile.write_text("4711\n")
    texts = [one.finding.text for one in diagnoses(seen(guest, pid=7))]
    assert len(texts) == 3
    assert "says process 4711, and the kernel says 7" in texts[0]
    assert "has no runtime file" in texts[1]
    assert "its monitor's socket" in texts[2]
    leave(guest)
    guest.pidfile.write_text("7\n")
    assert diagnoses(seen(guest, pid=7)) == []


def network(tmp_path, *names):
    for name in names:
        (tmp_path / "net" / name).mkdir(parents=True)
        (tmp_path / "net" / name / "tun_flags").write_text("0x1002")
    return tmp_path / "net"


def test_taps_without_a_guest(guest, tmp_path):
    net = network(tmp_path, "tap0", "tap1", "gnt.com.3", "vpn0")
    guest.nics.mkdir()
    (guest.nics / "0").write_text("tap0")
    (guest.nics / "1").write_text("tap1")
    told = list(leftovers.lonely_taps([guest], {"tap1": [7]}, net))
    assert [one.finding.advice for one in told] == [
        ("ip link delete gnt.com.3",),
        ("ip link delete tap0",),
    ]
    assert all(one.steps == () for one in told)


def test_the_advice_is_for_a_shell(tmp_path):
    guest = LocalGuest("a b", tmp_path)
    guest.runtime.parent.mkdir()
    guest.runtime.touch()
    (one,) = diagnoses(seen(guest))
    words = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {one.finding.advice[1]}"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert words == ["gnt-instance", "start", "a b"]
