"""The QEMU process of an instance, with real processes in its place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm import instance_process

OBEDIENT = "import time; print(flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + OBEDIENT


@pytest.fixture
def start():
    processes = []

    def run(*arguments: str, code: str = OBEDIENT) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        process.stdout.readline()
        return process

    yield run
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def test_info_reads_name_memory_and_vcpus(start):
    process = start("-name", "web1.example.com", "-m", "256", "-smp", "2,cores=2")
    assert instance_process.info(process.pid) == instance_process.ProcessInfo(
        process.pid, "web1.example.com", 256, 2
    )


def test_info_takes_the_name_before_its_options(start):
    process = start("-name", "web1,debug-threads=on", "-m", "1", "-smp", "1")
    assert instance_process.is_instance(process.pid, "web1")


@pytest.mark.parametrize("pid", [0, -1])
def test_info_refuses_what_is_no_process(pid):
    with pytest.raises(errors.HypervisorError, match="not the number"):
        instance_process.info(pid)


def test_info_of_a_foreign_process(start):
    with pytest.raises(errors.HypervisorError, match="not a QEMU"):
        instance_process.info(start("--other").pid)


def test_info_of_unreadable_numbers(start):
    process = start("-name", "web1", "-m", "lots")
    with pytest.raises(errors.HypervisorError, match="web1"):
        instance_process.info(process.pid)
    assert not instance_process.is_instance(process.pid, "web1")


def test_info_of_a_process_that_ended(start):
    process = start("-name", "web1")
    process.kill()
    process.wait()
    with pytest.raises(errors.HypervisorError, match=str(process.pid)):
        instance_process.info(process.pid)
    assert instance_process.state(process.pid) is None


def test_a_zombie_is_not_alive(start):
    process = start("-name", "web1", "-m", "1", "-smp", "1")
    os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while instance_process.state(process.pid) != "Z" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert instance_process.state(process.pid) == "Z"
    assert not instance_process.is_instance(process.pid, "web1")


def test_kill_ends_it_by_sigterm(start):
    process = start("-name", "web1")
    instance_process.kill(process.pid, "web1")
    assert process.wait() == -signal.SIGTERM


def test_kill_of_a_process_that_ignores_sigterm(start):
    process = start("-name", "web1", code=STUBBORN)
    instance_process.kill(process.pid, "web1", grace=0.2)
    assert process.wait() == -signal.SIGKILL


def test_kill_of_a_stopped_process_does_not_wait_for_the_grace_time(start):
    process = start("-name", "web1")
    os.kill(process.pid, signal.SIGSTOP)
    while not instance_process.is_stopped(process.pid):
        time.sleep(0.01)
    begin = time.monotonic()
    instance_process.kill(process.pid, "web1", grace=30)
    assert process.wait() == -signal.SIGKILL
    assert time.monotonic() - begin < 15


def test_kill_leaves_a_stranger_alone(start):
    process = start("-name", "other")
    instance_process.kill(process.pid, "web1")
    time.sleep(0.1)
    assert process.poll() is None


def test_kill_of_a_process_that_is_gone(start):
    process = start("-name", "web1")
    process.kill()
    process.wait()
    instance_process.kill(process.pid, "web1")
