"""``ganeti-hv-kvm list``: a row for each verdict, of real QEMUs in each kind of trouble."""

from __future__ import annotations

import json
import os

import pytest

from harness import golden, troubled

pytestmark = [pytest.mark.qemu, pytest.mark.only_3_0]  # no Ganeti has a say in it

#: state, monitor, what the reason has in it
EXPECTED = {
    "dying": (None, "gone", "on its way out"),
    "frozen": (None, "stopped", "the freezer of its cgroup holds its process"),
    "gone": (None, "gone", "no QEMU runs; left: pid file, socket, runtime file"),
    "held": (None, "busy", f"({os.getpid()}) holds its monitor"),
    "hostile": (None, "broken", "QEMU tells what cannot be"),
    "io-error": ("io-error", "answered", "disk0: no space is left"),
    "stopped": (None, "stopped", "its process is stopped by a signal"),
    "paused": ("paused", "answered", "the guest is paused"),
    "prelaunch": ("prelaunch", "answered", "the guest was not let run yet"),
    "suspended": ("suspended", "answered", "the guest sleeps (ACPI S3)"),
    "running": ("running", "answered", None),
}


def test_a_row_for_each_verdict_trouble_first(run, command):
    with troubled.node(run):
        first = command("list", "--json", "--timeout", "15")
        listed = command("list", "--timeout", "15")
    golden.check("list.txt", golden.transcript(listed, "list"), run)
    assert first.stderr == ""
    rows = json.loads(first.stdout)["guests"]
    assert [row["name"].removesuffix("0.example.com") for row in rows] == list(EXPECTED)
    for row, (state, monitor, reason) in zip(rows, EXPECTED.values(), strict=True):
        assert (row["state"], row["monitor"]) == (state, monitor), row
        assert row["reason"] == reason if reason is None else reason in row["reason"], row
        if monitor in ("answered", "busy", "stopped"):
            assert (row["vcpus"], row["memory"]) == (2, 16), row
        assert row["since"] is None
        if monitor == "answered":
            assert row["qemu"]
            assert row["machine"].startswith("pc-i440fx-")
    assert (first.returncode, listed.returncode) == (1, 1)
    header, *lines = listed.stdout.splitlines()
    assert header.split() == [
        *("Name", "PID", "State", "Monitor", "Since", "VCPUs", "Memory", "QEMU"),
        *("Machine", "Reason"),
    ]
    assert [line.partition("0.")[0] for line in lines] == list(EXPECTED)
    assert all(line.split()[4] != "-" for line in lines)
    assert "\x1b" not in listed.stdout


def test_well(run, command):
    with troubled.node(run, "running"):
        done = command("list", "--no-headers", "-o", "name,state,memory", "--separator=:")
    assert (done.stdout, done.stderr) == ("running0.example.com:running:16\n", "")
    assert done.returncode == 0


def test_names_patterns_and_slips(run, command):
    with troubled.node(run, "paused", "running"):
        done = command("list", "runing0.example.com", "pau*", "-o", "name", "--no-headers")
        assert (done.returncode, done.stdout) == (1, "paused0.example.com\n")
        assert "did you mean 'running0.example.com'?" in done.stderr
        done = command("list", "none", "--json")
        assert json.loads(done.stdout)["guests"] == []
        assert done.returncode == 3


#: Each answer that a person may get of names and fields; the last two are of a node without guests.
CALLS = (
    ("runing0.example.com", "pau*", "-o", "name,state"),
    ("running0.example.com", "-o", "name,maximum,holder,uptime,resident,process"),
    ("runing0",),
    ("-o", "name,stat"),
    ("--separator=:", "-o", "name,vcpus,memory,state"),
    (),
    ("none",),
)


def test_what_it_says_of_names_and_fields(run, command):
    said = ""
    with troubled.node(run, "paused", "running"):
        for words in CALLS[:-2]:
            said += golden.transcript(command("list", *words), "list", *words) + "\n"
    for words in CALLS[-2:]:
        said += golden.transcript(command("list", *words), "list", *words) + "\n"
    golden.check("list-names.txt", said, run)


def test_an_empty_node_and_none(run, command):
    done = command("list", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"guests": [], "problems": []})
    (run / "pid").rmdir()
    assert command("list").returncode == 0
    (run / "pid").write_text("no directory")
    done = command("list", "--json")
    assert done.returncode == 3
    assert "cannot be told which guests are here" in json.loads(done.stdout)["error"]["text"]


def test_watched_by_a_program(run, command):
    with troubled.node(run, "paused"):
        done = command("list", "--watch", "--json", "--interval", "0.1", "--count", "2")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["guests"][0]["state"] for one in told] == ["paused", "paused"]


def test_what_lies_there_and_is_no_guests(run, command):
    """Fault: one name that is too long for a file of it hid all guests."""
    for name in ("x" * 250, "a b", "x\ny"):
        (run / "pid" / name).write_text("garbage")
    (run / "pid/loop").symlink_to("loop")
    (run / "conf/zero.runtime").symlink_to("/dev/zero")
    (run / "conf/folder.runtime").mkdir()
    with troubled.node(run, "running"):
        told = [
            command(*words, "--json") for words in (["list"], ["metrics"], ["top", "--count=1"])
        ]
        doctor = command("doctor", "--json")
    assert [one.returncode for one in told] == [1, 0, 0]
    listed = {row["name"]: row["monitor"] for row in json.loads(told[0].stdout)["guests"]}
    assert listed.pop("running0.example.com") == "answered"
    assert set(listed.values()) == {"gone"}
    assert doctor.returncode == 1
    assert "no QEMU" in told[0].stdout
