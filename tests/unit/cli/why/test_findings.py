"""What is said of one guest, from what was asked of it."""

from __future__ import annotations

import json
import os

import pytest

from ganeti_hv_kvm.cli.frame import finding
from ganeti_hv_kvm.cli.frame.finding import Level
from ganeti_hv_kvm.cli.node import inquiry
from ganeti_hv_kvm.cli.node.guests import LocalGuest
from ganeti_hv_kvm.cli.node.inquiry import Inquiry
from ganeti_hv_kvm.cli.node.look import Look
from ganeti_hv_kvm.cli.node.process import Process, Thread
from ganeti_hv_kvm.cli.node.qemu_log import LogEnd
from ganeti_hv_kvm.cli.node.runtime_file import Disk, RuntimeFile
from ganeti_hv_kvm.cli.node.system_calls import Call
from ganeti_hv_kvm.cli.why import explain, of_disks, of_migration, of_monitor, of_nics, of_process

NAME = "web1"
RUNTIME = RuntimeFile(
    ["qemu"],
    [],
    {},
    [Disk({"hvinfo": {"id": "disk-1", "driver": "virtio-blk-pci"}}, "/srv/my disk", None)],
)
MAIN = Thread(7, "qemu", "S", "poll", Call("ppoll"))


def process(**changes):
    return Process(7, "qemu", "S", 65.0, 0, 100, 20, 1024, (MAIN,))._replace(**changes)


@pytest.fixture
def ask(tmp_path):
    """Make what was asked, with these changes."""
    guest = LocalGuest(NAME, tmp_path)

    def make(*, of=None, seen=None, **replies):
        values = {key.replace("_", "-"): value for key, value in replies.items()}
        look = Look(guest, 7, None, "running", "answered", None, None, values, {})
        look = look._replace(**(seen or {}))
        made = Inquiry(look, process(), RUNTIME, None, {}, None, None, 5.0)
        return made._replace(**(of or {}))

    return make


def first(found):
    return next(iter(found))


def texts(found):
    return [one.text for one in found]


def test_a_guest_that_runs(ask):
    told = explain.findings(ask(query_status={"status": "running"}), ask().guest.run_directory)
    assert {one.level for one in told} == {Level.WELL}
    assert finding.summary(told) == "nothing is wrong"


@pytest.mark.parametrize(
    ("status", "level", "advice"),
    [
        ("running", Level.WELL, ()),
        ("paused", Level.NOTE, ("ganeti-hv-kvm cont web1",)),
        ("postmigrate", Level.TROUBLE, ("gnt-instance migrate --cleanup web1",)),
        ("guest-panicked", Level.TROUBLE, ("gnt-instance reboot --type=hard web1",)),
        ("levitating", Level.TROUBLE, ("ganeti-hv-kvm qmp web1 query-status",)),
        (3, Level.UNKNOWN, ("ganeti-hv-kvm qmp web1 query-status",)),
    ],
)
def test_states(ask, status, level, advice):
    found = ask(query_status={"status": status}, query_version={"qemu": {}})
    told = list(of_monitor.findings(found))[-1]
    assert (told.level, told.advice) == (level, advice)


@pytest.mark.parametrize(
    ("migration", "advice"),
    [
        ({"status": "completed", "ram": {}}, ("gnt-instance migrate --cleanup web1",)),
        ({"status": "completed"}, ("ganeti-hv-kvm cont web1",)),
        ({"status": 3, "ram": {}}, ("ganeti-hv-kvm cont web1",)),
    ],
)
def test_a_guest_that_left_and_was_reset(ask, migration, advice):
    found = ask(query_status={"status": "prelaunch"}, query_migrate=migration)
    assert list(of_monitor.findings(found))[-1].advice == advice


@pytest.mark.parametrize(
    ("seen", "level", "text"),
    [
        ({"verdict": "busy"}, Level.TROUBLE, "it cannot be told who"),
        ({"verdict": "busy", "holder_pid": os.getpid()}, Level.TROUBLE, f"process {os.getpid()} ("),
        ({"verdict": "stopped", "condition": "stopped"}, Level.TROUBLE, "nobody is answered"),
        ({"verdict": "silent"}, Level.TROUBLE, "hangs (its main thread waits, in ppoll"),
        ({"verdict": "gone"}, Level.TROUBLE, "nobody listens"),
        ({"verdict": "broken", "reason": "bad \x1b"}, Level.UNKNOWN, r"bad \x1b"),
    ],
)
def test_a_monitor_that_does_not_answer(ask, seen, level, text):
    told = first(of_monitor.findings(ask(seen=seen)))
    assert (told.level, text in told.text) == (level, True), told.text


@pytest.mark.parametrize("seen", [{"verdict": "gone", "condition": "exiting"}, {"pid": None}])
def test_a_monitor_of_nobody_is_not_spoken_of(ask, seen):
    assert list(of_monitor.findings(ask(seen={"verdict": "gone", **seen}))) == []


@pytest.mark.parametrize(
    ("of", "seen", "level", "text"),
    [
        ({}, {}, Level.WELL, "process 7 began 1m05s ago, and has 1 thread"),
        (
            {},
            {"doubt": "EPERM", "pid": None},
            Level.UNKNOWN,
            "cannot be told whether its QEMU runs",
        ),
        ({}, {"pid": None}, Level.TROUBLE, "no QEMU of it runs here"),
        ({"process": None}, {}, Level.UNKNOWN, "the kernel does not tell"),
        ({}, {"condition": "stopped"}, Level.TROUBLE, "stopped by a signal"),
        ({}, {"condition": "exiting"}, Level.TROUBLE, "on its way out"),
        ({"process": process(tracer=1)}, {}, Level.TROUBLE, "is traced by process 1"),
    ],
)
def test_processes(ask, of, seen, level, text):
    told = first(of_process.findings(ask(of=of, seen=seen)))
    assert (told.level, text in told.text) == (level, True), told.text


def test_a_log_is_named_where_it_has_something(ask):
    log = LogEnd(("qemu: out of memory",), 1.0, 20)
    found = ask(of={"log": log}, seen={"pid": None})
    assert "the end of its log" in first(of_process.findings(found)).text


def test_threads_that_hang(ask):
    hanging = [Thread(tid, "w", "D", "wait", Call("fdatasync", "/mnt/a b")) for tid in range(8, 14)]
    found = ask(of={"process": process(threads=(MAIN, *hanging))})
    told = [one for one in of_process.findings(found) if one.about == "thread"]
    assert len(told) == 5
    assert told[0].advice[0] == "timeout 5 findmnt -T '/mnt/a b'"
    assert told[4].text == "2 more threads wait likewise"


def test_descriptors(ask):
    found = ask(of={"process": process(descriptors=1000)})
    (told,) = [one for one in of_process.findings(found) if one.about == "descriptors"]
    assert "1000 of 1024" in told.text


def test_runtime_files(ask):
    found = ask(of={"runtime": None, "runtime_error": "is damaged"})
    assert "is damaged; the guest runs on" in list(of_process.findings(found))[-1].text
    found = ask(of={"runtime": None})
    assert "there is no" in list(of_process.findings(found))[-1].text


def block(status="ok", file="/srv/my disk"):
    return [
        {
            "device": "",
            "qdev": "/machine/peripheral/disk-1/virtio-backend",
            "io-status": status,
            "inserted": {"node-name": "disk-1", "file": file},
        }
    ]


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        ("nospace", ("timeout 5 df -h '/srv/my disk'", "ganeti-hv-kvm cont web1")),
        (
            "failed",
            (
                "dmesg | tail -n 30",
                "timeout 5 dd if='/srv/my disk' of=/dev/null bs=1M count=1",
                "ganeti-hv-kvm cont web1",
            ),
        ),
    ],
)
@pytest.mark.parametrize("file", ["/srv/my disk", "/dev/fdset/3"])
def test_disks(ask, status, advice, file):
    (told,) = of_disks.findings(ask(query_block=block(status, file)))
    assert told.advice == advice
    assert "disk 0 (disk-1), /srv/my disk" in told.text


def test_disks_that_failed_once(ask):
    stats = [{"node-name": "disk-1", "stats": {"failed_wr_operations": 3}}]
    (told,) = of_disks.findings(ask(query_block=block(), query_blockstats=stats))
    assert (told.level, "3 failed writes" in told.text) == (Level.NOTE, True)


@pytest.mark.parametrize("odd", [3, [3], [{"inserted": 3}], "x"])
def test_disks_of_a_hostile_peer(ask, odd):
    told = list(of_disks.findings(ask(query_block=odd)))
    assert told == [] or told[0].level is Level.UNKNOWN


def test_a_device_that_is_missing(ask):
    told = list(of_disks.findings(ask(devices=[], query_pci=[])))
    assert texts(told) == ["disk disk-1 is in the runtime file, and QEMU does not have it"]


@pytest.mark.parametrize("odd", [[3], [{"name": 3, "type": 3}], [{"name": "x", "type": "child<"}]])
def test_devices_of_a_hostile_peer(ask, odd):
    found = ask(devices=odd, query_pci=[3])
    with pytest.raises(ValueError, match="what cannot be"):
        inquiry.differences(found)
    assert [one.level for one in of_disks.findings(found)] == [Level.UNKNOWN]


@pytest.mark.parametrize(
    ("reply", "level", "text"),
    [
        ({}, None, ""),
        ({"status": "completed"}, None, ""),
        ({"status": "failed", "error-desc": "no route"}, Level.NOTE, "the guest stayed: no route"),
        ({"status": "active"}, Level.NOTE, "under way"),
        ({"status": "postcopy-paused"}, Level.TROUBLE, "ending either of its QEMUs loses it"),
        ({"status": "odd"}, Level.UNKNOWN, "not known here"),
    ],
)
def test_migrations(ask, tmp_path, reply, level, text):
    told = list(of_migration.findings(ask(query_migrate=reply), tmp_path / "departed"))
    assert [one.level for one in told] == ([] if level is None else [level])
    assert all(text in one.text for one in told)


@pytest.mark.parametrize(
    ("record", "seen", "level"),
    [
        ({"target": "192.0.2.7", "left": True}, {"pid": None}, Level.TROUBLE),
        ({"target": "192.0.2.7", "left": False}, {"pid": None}, Level.TROUBLE),
        ({"target": "192.0.2.7", "left": False}, {}, Level.NOTE),
        ([3], {"pid": None}, Level.UNKNOWN),
        (None, {"pid": None}, Level.UNKNOWN),
    ],
)
def test_departures(ask, tmp_path, record, seen, level):
    departed = tmp_path / "departed"
    departed.mkdir()
    (departed / NAME).write_text("{" if record is None else json.dumps(record))
    (told,) = of_migration.findings(ask(seen=seen, query_status={"status": "running"}), departed)
    assert told.level is level


NIC = {"mac": "aa:00", "nicparams": {"mode": "bridged", "link": "br0"}}


@pytest.mark.parametrize(
    ("files", "held", "text"),
    [
        ({"name": "tap0"}, {"tap0"}, None),
        ({}, {"tap0"}, "no file in"),
        ({"name": "../x"}, {"tap0"}, "no file in"),
        ({"name": "tap9"}, {"tap9"}, "no interface tap9"),
        ({"name": "tap0"}, set(), "does not have tap0 open"),
        ({"name": "tap0", "flags": "0x1002"}, {"tap0"}, "tap0 is down"),
        (
            {"name": "tap0", "master": "br1"},
            {"tap0"},
            "is in bridge br1, and the runtime file says",
        ),
        ({"name": "tap0", "master": None}, {"tap0"}, "is in no bridge"),
    ],
)
def test_nics(ask, tmp_path, monkeypatch, files, held, text):
    monkeypatch.setattr(of_nics.taps, "held_by", lambda pid: held)
    monkeypatch.setattr(of_nics, "SCRIPTS", (tmp_path / "script",))
    (tmp_path / "script").touch(mode=0o755)
    tap = tmp_path / "net/tap0"
    tap.mkdir(parents=True)
    (tap / "flags").write_text(files.get("flags", "0x1003"))
    if (master := files.get("master", "br0")) is not None:
        os.symlink(f"../{master}", tap / "master")
    found = ask(of={"runtime": RUNTIME._replace(nics=[NIC])})
    if "name" in files:
        found.guest.nics.mkdir(parents=True)
        (found.guest.nics / "0").write_text(files["name"])
    told = list(of_nics.findings(found, tmp_path / "net"))
    assert [text in one.text for one in told] == ([] if text is None else [True]), told


@pytest.mark.parametrize(("mode", "text"), [(0o644, "is no program"), (None, "there is no")])
def test_the_network_script(ask, tmp_path, monkeypatch, mode, text):
    monkeypatch.setattr(of_nics, "SCRIPTS", (tmp_path / "script",))
    if mode is not None:
        (tmp_path / "script").touch(mode=mode)
    monkeypatch.setattr(of_nics.os, "access", lambda *_: mode != 0o644)
    told = list(of_nics._script())
    assert [text in one.text for one in told] == [True]


def test_lines_are_in_order_with_their_advice():
    told = [
        finding.well("a", "fine"),
        finding.trouble("longer", "bad", "do this", "and that"),
        finding.unknown("b", "odd"),
    ]
    assert finding.lines(told) == [
        "!! longer  bad",
        "           > do this",
        "           > and that",
        "?? b       odd",
        "ok a       fine",
    ]
    assert finding.summary(told) == "1 thing is wrong, 1 thing cannot be told"
    assert finding.status_of(told) == 1
    assert finding.status_of(told[:1]) == 0
    assert told[1].as_json() == {
        "level": "trouble",
        "about": "longer",
        "text": "bad",
        "advice": ["do this", "and that"],
    }
