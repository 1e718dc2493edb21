"""Processes and threads: this one, a stopped one, and a recorded one that hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from ganeti_hv_kvm.cli.node import process, system_calls
from ganeti_hv_kvm.cli.node.system_calls import Call

STAT = (
    "7 ({name}) {state} 1 7 7 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 2 0 1000 5 6 18446744073709551615"
)


def test_this_one():
    seen = process.read(os.getpid())
    assert seen is not None
    assert seen.pid == os.getpid()
    assert seen.state == "R"
    assert seen.tracer == 0
    assert 0 <= seen.age < 1e6
    assert seen.memory > 1
    assert seen.descriptors > 2
    assert seen.most_descriptors >= seen.descriptors
    assert os.getpid() in [thread.tid for thread in seen.threads]
    assert seen.hanging == []
    assert process.command_line(os.getpid())[0]
    assert process.environment(os.getpid()).get("PATH")
    assert os.getpid() in process.pids()


def test_none():
    done = subprocess.Popen(["true"])
    done.wait()
    assert process.read(done.pid) is None
    assert process.name_of(done.pid) is None
    with pytest.raises(OSError, match=str(done.pid)):
        process.command_line(done.pid)


def test_a_stopped_one_and_what_a_thread_waits_for():
    with subprocess.Popen(["sleep", "100"]) as sleeping:
        try:
            waits = None
            # its state and its call are two looks: it may fall asleep in between
            while (
                waits is None
                or waits.state != "S"
                or waits.call is None
                or waits.call.name != "clock_nanosleep"
            ):
                waits = process.read(sleeping.pid).threads[0]
            assert waits.words.startswith("waits, in clock_nanosleep")
            sleeping.send_signal(signal.SIGSTOP)
            while process.read(sleeping.pid).state != "T":
                time.sleep(0.01)
            assert process.read(sleeping.pid).threads[0].words.startswith("is stopped by a signal")
        finally:
            sleeping.kill()


def test_a_thread_that_reads_a_file_is_told_with_it():
    reader, writer = os.pipe()
    thread = threading.Thread(target=os.read, args=(reader, 1))
    thread.start()
    try:
        calls: list[Call] = []
        while not calls:
            found = process.read(os.getpid()).threads
            # the thread that looks is in a read as well
            calls = [one.call for one in found if one.call and (one.call.file or "")[:5] == "pipe:"]
        assert calls[0].words == f"read of {calls[0].file}"
    finally:
        os.write(writer, b"x")
        thread.join()
        os.close(reader)
        os.close(writer)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc with process 7, whose second thread waits for a disk."""
    here = tmp_path / "7"
    for tid, name, state in ((7, "qemu) x", "S"), (8, "worker", "D")):
        task = here / "task" / str(tid)
        (task / "fd").mkdir(parents=True)
        (task / "stat").write_text(STAT.format(name=name, state=state))
    (here / "stat").write_text(STAT.format(name="qemu) x", state="S"))
    (here / "status").write_text("Name:\tqemu\nVmRSS:\t  204800 kB\nTracerPid:\t12\n")
    (here / "limits").write_text("Max open files            1024                 4096    files\n")
    worker = here / "task/8"
    (worker / "syscall").write_text("75 0xffffffff00000005 0x0 0x0 0x0 0x0 0x0 0x7ff 0x7f\n")
    (worker / "stack").write_text(
        "[<0>] io_schedule+0x46/0x80\n[<0>] wait_on_page_bit+0x1/0x2\n[<0>] do_syscall_64+0x1/0x2\n"
    )
    os.symlink("/dev/drbd1", worker / "fd/5")
    (tmp_path / "uptime").write_text("110.0 1.0\n")
    return tmp_path


def test_a_thread_that_hangs(proc, monkeypatch):
    monkeypatch.setattr(
        system_calls.os, "uname", lambda: os.uname_result(("", "", "", "", "x86_64"))
    )
    seen = process.read(7, proc)
    assert (seen.name, seen.tracer, seen.memory, seen.most_descriptors) == (
        "qemu) x",
        12,
        200,
        1024,
    )
    assert seen.age == pytest.approx(100.0)
    assert seen.descriptors is None  # there is no fd directory
    (hanging,) = seen.hanging
    assert hanging.kernel == "wait_on_page_bit"
    assert hanging.words == (
        "waits for a device or file system, and obeys no signal meanwhile,"
        " in fdatasync of /dev/drbd1 (kernel: wait_on_page_bit)"
    )


@pytest.mark.parametrize(
    ("text", "machine", "call"),
    [
        ("83 0x5 0x0", "aarch64", Call("fdatasync", "/dev/drbd1")),
        ("83 0x5 0x0", "x86_64", Call("system call 83")),
        ("98 0x5 0x0", "aarch64", Call("futex")),
        ("202 0x5", "mips", Call("system call 202")),
        ("75 0x9 0x0", "x86_64", Call("fdatasync")),
        ("running", "x86_64", None),
        ("-1 0x7 0x8", "x86_64", None),
        ("", "x86_64", None),
    ],
)
def test_system_calls(proc, text, machine, call):
    (proc / "7/task/8/syscall").write_text(text)
    assert system_calls.read_call(proc / "7/task/8", machine) == call


def test_a_stat_of_another_form_is_an_error(proc):
    (proc / "7/stat").write_text("7 (x) S 1")
    with pytest.raises(OSError, match="unknown form"):
        process.read(7, proc)
