"""The QEMU process of an instance, with real processes in its place."""

from __future__ import annotations

import logging
import os
import signal
import time
from contextlib import ExitStack

import pytest
from ganeti import errors

from ganeti_hv_kvm.errors import ProcessUnknownError
from ganeti_hv_kvm.hv_kvm.guest import process as instance_process
from ganeti_hv_kvm.hv_kvm.guest.files import Directories, InstanceFiles
from harness import lock_holder

NAME = "web1.example.com"


@pytest.fixture
def files(tmp_path):
    directories = Directories(*(str(tmp_path / name) for name in Directories._fields))
    (tmp_path / "ctrl").mkdir()
    return InstanceFiles(directories, NAME)


@pytest.fixture
def start(files, tmp_path):
    with ExitStack() as stack:

        def run(*habits: str, words: tuple[str, ...] = ()):
            pidfile, monitor = tmp_path / "pids" / NAME, tmp_path / "ctrl" / f"{NAME}.qmp"
            return stack.enter_context(lock_holder.running(pidfile, monitor, *habits, words=words))

        yield run


def test_it_is_found_by_its_lock(start, files):
    assert instance_process.find(files) is None
    process = start()
    assert instance_process.find(files) == process.pid
    (found,) = instance_process.find_all([files])
    assert found == instance_process.ProcessInfo(process.pid, None, None)


def test_one_that_does_not_lock_is_a_stranger(start, files):
    process = start("no-lock")
    assert instance_process.find(files) is None
    instance_process.kill(files)
    time.sleep(0.1)
    assert process.poll() is None


def test_its_command_line_gives_values_alone(start, files):
    process = start(words=("-name", "guest=other,debug-threads=on", "-m", "1G", "-smp", "cpus=2"))
    assert instance_process.find_all([files]) == [(process.pid, 1024, 2)]
    assert instance_process.info(process.pid) == ("other", 1024, 2)


@pytest.mark.parametrize("pid", [0, -1])
def test_info_refuses_what_is_no_process(pid):
    with pytest.raises(errors.HypervisorError, match="not the number"):
        instance_process.info(pid)


def test_info_of_a_foreign_process_and_of_none(start):
    process = start()
    with pytest.raises(errors.HypervisorError, match="not a QEMU"):
        instance_process.info(process.pid)
    process.kill()
    process.wait()
    with pytest.raises(errors.HypervisorError, match=str(process.pid)):
        instance_process.info(process.pid)


def test_a_zombie_is_not_alive(start, files):
    process = start()
    os.kill(process.pid, signal.SIGKILL)
    lock_holder.wait_for_state(process.pid, "Z")
    assert instance_process.find(files) is None


def test_kill_ends_it_by_sigterm(start, files):
    process = start()
    instance_process.kill(files)
    assert process.wait() == -signal.SIGTERM


def test_kill_of_a_process_that_ignores_sigterm(start, files, caplog):
    process = start("stubborn")
    with caplog.at_level(logging.WARNING):
        instance_process.kill(files, grace=0.2)
    assert process.wait() == -signal.SIGKILL
    assert "ignores SIGTERM" in caplog.text


def test_kill_of_a_stopped_process_does_not_wait_for_the_grace_time(start, files):
    process = start()
    lock_holder.stop(process.pid)
    assert instance_process.is_stopped(process.pid)
    begin = time.monotonic()
    instance_process.kill(files, grace=30)
    assert process.wait() == -signal.SIGKILL
    assert time.monotonic() - begin < 15


def test_what_cannot_be_told_is_an_error_that_says_what_to_do(start, files):
    process = start()
    os.unlink(files.pidfile)
    os.symlink(files.pidfile, files.pidfile)
    for step in (instance_process.find, instance_process.kill):
        with pytest.raises(ProcessUnknownError, match="ss -xlp") as raised:
            step(files)
        assert isinstance(raised.value, errors.HypervisorError)
        assert NAME in str(raised.value)
        assert files.pidfile in str(raised.value)
    assert process.poll() is None
    (found,) = instance_process.find_all([files])
    assert isinstance(found, ProcessUnknownError)


def test_a_signal_handler_that_raises_ends_the_wait(start, files):
    start("stubborn")

    def raise_it(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, raise_it)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            instance_process.kill(files, grace=30)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class _Poll:
    """A kernel that has no memory for so many waits."""

    def __init__(self, refusals, ended):
        self.refusals, self.ended = refusals, ended

    def register(self, *_):
        return None

    def poll(self, _milliseconds):
        if self.refusals:
            self.refusals -= 1
            raise OSError(12, "Cannot allocate memory")
        return [(7, 1)] if self.ended else []


@pytest.mark.parametrize("ended", [True, False])
def test_a_wait_that_the_kernel_refuses_is_made_again(monkeypatch, ended):
    """Fault: a reboot broke off with the guest on its way down, and said nothing of that."""
    monkeypatch.setattr(instance_process.select, "poll", lambda: _Poll(3, ended))
    assert instance_process.wait_gone(7, 0.0) is ended


def test_a_wait_that_is_refused_for_good_is_an_error(monkeypatch):
    monkeypatch.setattr(instance_process.select, "poll", lambda: _Poll(1 << 30, True))
    with pytest.raises(errors.HypervisorError, match=r"cannot be waited for: .*allocate memory"):
        instance_process.wait_gone(7, 0.0)
