"""A guest is known whatever its process does, and ended or said to be still there."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.guest import process as instance_process
from harness import freezer, idle_guests, instance, lock_holder, paths
from harness.block_device import file_system

pytestmark = [pytest.mark.qemu, pytest.mark.rather_3_0]
NAME = "web1.example.com"
_AMPLE = 30.0


@pytest.fixture
def stand_in(hypervisor):
    """A function that starts a process in a QEMU's place."""
    root = Path(type(hypervisor)._ROOT_DIR)
    with ExitStack() as stack:

        def begin(*habits: str):
            pidfile, monitor = root / "pid" / NAME, root / "ctrl" / f"{NAME}.qmp"
            (root / "conf" / f"{NAME}.runtime").write_text("{}")
            return stack.enter_context(lock_holder.running(pidfile, monitor, *habits))

        yield begin
    hypervisor.CleanupInstance(NAME)


def is_ended(hypervisor, listed, pid: int) -> None:
    hypervisor.StopInstance(None, force=True, name=NAME)
    assert lock_holder.state(pid) in "Z"
    assert listed() == []


def test_one_that_is_stopped(hypervisor, start, listed):
    (guest,) = start()
    guest.stop()
    assert listed() == [guest.name]
    assert instance_process.is_stopped(guest.process.pid)
    begin = time.monotonic()
    hypervisor.StopInstance(None, force=True, name=guest.name)
    assert time.monotonic() - begin < instance_process.TERM_GRACE / 2
    assert listed() == []


def test_one_that_is_traced(hypervisor, start, listed):
    (guest,) = start()
    libc = ctypes.CDLL(None, use_errno=True)
    seize, interrupt, detach = 0x4206, 0x4207, 17
    assert libc.ptrace(seize, guest.process.pid, 0, 0) == 0
    try:
        assert libc.ptrace(interrupt, guest.process.pid, 0, 0) == 0
        lock_holder.wait_for_state(guest.process.pid, "t")
        assert listed() == [guest.name]
        assert instance_process.is_stopped(guest.process.pid)
        os.waitpid(guest.process.pid, os.WUNTRACED)
    finally:
        libc.ptrace(detach, guest.process.pid, 0, 0)
    assert listed() == [guest.name]


def test_one_that_is_frozen(hypervisor, start, listed, monkeypatch):
    monkeypatch.setattr(instance_process.kill, "__defaults__", (1.0,))
    (guest,) = start()
    pid = guest.process.pid
    with freezer.frozen(pid) as on:
        assert listed() == [guest.name]
        if on == "FROZEN":  # the old freezer lets not even SIGKILL through
            for _ in range(2):
                with pytest.raises(errors.HypervisorError, match=r"still there.*thaw it"):
                    hypervisor.StopInstance(None, force=True, name=guest.name)
                assert listed() == [guest.name]
    hypervisor.StopInstance(None, force=True, name=guest.name)
    assert listed() == []
    guest.process.wait(_AMPLE)


def test_one_that_writes_over_its_command_line(hypervisor, start, listed):
    (guest,) = start(machine=idle_guests.PC[:-2])
    pid = guest.process.pid
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    begin, end = int(fields[45]), int(fields[46])
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        memory.seek(begin)
        memory.write(b"-name\0someone-else\0-m\0lots\0".ljust(end - begin, b"\0"))
    assert b"example.com" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert listed() == [guest.name]
    # there is no balloon either: QEMU itself tells
    assert hypervisor.GetInstanceInfo(guest.name)[1:4] == (pid, idle_guests.MEMORY, 2)
    hypervisor.StopInstance(None, force=True, name=guest.name)
    assert lock_holder.state(pid) in "Z"
    hypervisor.CleanupInstance(guest.name)


def test_one_that_is_no_qemu_to_look_at(hypervisor, stand_in, listed):
    process = stand_in()
    assert listed() == [NAME]
    is_ended(hypervisor, listed, process.pid)


def test_one_whose_main_thread_has_ended(hypervisor, stand_in, listed):
    process = stand_in("half-dead")
    lock_holder.wait_for_state(process.pid, "Z")
    assert listed() == [NAME]
    with pytest.raises(errors.HypervisorError, match="still runs"):
        hypervisor.CleanupInstance(NAME)
    hypervisor.StopInstance(None, force=True, name=NAME)
    assert listed() == []


def test_one_that_hangs_in_the_kernel(hypervisor, stand_in, listed, monkeypatch, tmp_path):
    """A zombie main thread, and a worker that waits for a file system that stands still."""
    monkeypatch.setattr(instance_process.kill, "__defaults__", (0.5,))
    root = Path(type(hypervisor)._ROOT_DIR)
    with file_system(tmp_path, "mount") as mount:
        (mount / "disk").write_bytes(b"")
        subprocess.run(["fsfreeze", "--freeze", mount], check=True)
        try:
            process = stand_in("half-dead", str(mount / "disk"))
            pid = process.pid
            lock_holder.wait_for_state(pid, "Z")
            time.sleep(1)  # till the worker writes
            before = sorted(root.rglob("*"))
            for _ in range(3):
                with pytest.raises(errors.HypervisorError, match=f"process {pid} is still there"):
                    hypervisor.StopInstance(None, force=True, name=NAME)
                assert listed() == [NAME]
                with pytest.raises(errors.HypervisorError, match="still runs"):
                    hypervisor.CleanupInstance(NAME)
            assert sorted(root.rglob("*")) == before
        finally:
            subprocess.run(["fsfreeze", "--unfreeze", mount], check=True)
        process.wait(_AMPLE)
        assert listed() == []


_WITHOUT_PIDFD = """
import ctypes, struct, sys
from ganeti_hv_kvm import _native
error, pidfile, monitor = int(sys.argv[1]), sys.argv[2], sys.argv[3]
numbers = [434, 424][: 1 if error == 1 else 2]  # pidfd_open, pidfd_send_signal
load, equal, give = 0x20, 0x15, 0x06
program = [(load, 0, 0, 0)]
for place, number in enumerate(numbers):
    program.append((equal, len(numbers) - place, 0, number))
program += [(give, 0, 0, 0x7FFF0000), (give, 0, 0, 0x00050000 | error)]
code = b"".join(struct.pack("HBBI", *one) for one in program)
held = ctypes.create_string_buffer(code)
filter = struct.pack("HxxxxxxP", len(program), ctypes.addressof(held))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, filter) == 0, ctypes.get_errno()
import os
try:
    os.pidfd_open(os.getpid())
except OSError as err:
    assert err.errno == error
else:
    raise SystemExit("there is a pidfd")
print(_native.end_process(pidfile, monitor, 20.0))
"""


@pytest.mark.parametrize("error", [1, 38, 24], ids=["EPERM", "ENOSYS", "EMFILE"])
def test_where_the_kernel_gives_no_pidfd(start, listed, error):
    guest, other = start(2)
    command = [sys.executable, "-c", _WITHOUT_PIDFD, str(error), str(guest.pidfile)]
    done = subprocess.run([*command, str(guest.qmp)], capture_output=True, text=True, check=False)
    assert "'ended'" in done.stdout, done.stderr
    assert listed() == [other.name]
    assert guest.process.wait(_AMPLE) is not None


@pytest.mark.parametrize("qemu", [paths.QEMU, paths.QEMU_10], ids=["QEMU 7.2", "QEMU 10"])
def test_the_lock_is_there_when_qemu_goes_to_the_background(hypervisor, listed, qemu):
    root = Path(type(hypervisor)._ROOT_DIR)
    pidfile, monitor = root / "pid" / NAME, root / "ctrl" / f"{NAME}.qmp"
    argv = [qemu, "-name", NAME, "-machine", "none", "-nodefaults", "-display", "none"]
    argv += ["-pidfile", pidfile, "-daemonize", "-qmp", f"unix:{monitor},server=on,wait=off"]
    subprocess.run(list(map(str, argv)), check=True)
    pid = int(pidfile.read_text())
    assert listed() == [NAME]
    assert hypervisor._InstancePidAlive(NAME) == (str(pidfile), pid, True)
    os.kill(pid, signal.SIGKILL)
    limit = time.monotonic() + _AMPLE
    while hypervisor.ListInstances():  # until all of it has ended
        assert time.monotonic() < limit
    assert listed() == []
    hypervisor.CleanupInstance(NAME)


EXTRAS = [
    ("-m 192M", 192),
    ("-m 192,slots=2,maxmem=1G", 192),
    ("-m size=0.25G", 256),
    ("-m 128 -m 160", 160),
    ("-smp cpus=1,maxcpus=4", 128),
    (f"-name guest={NAME},debug-threads=on", 128),
    ("-name another", 128),
]


@pytest.mark.parametrize(("extra", "memory"), EXTRAS)
def test_words_of_the_operator(hypervisor, nothing_left, listed, extra, memory):
    """Fault: QEMU started, was said not to, and ran on unlisted, with no file left."""
    made = instance.instance(NAME, kvm_extra=extra)
    hypervisor.StartInstance(made, [], False)
    assert listed() == [NAME]
    assert hypervisor.GetInstanceInfo(NAME)[2] == memory
    hypervisor.StopInstance(made, force=True)
    hypervisor.CleanupInstance(NAME)
    nothing_left()


@pytest.mark.parametrize(
    "parameters",
    [
        {"use_chroot": True},
        {"security_model": "user", "security_domain": "nobody"},
        {"use_chroot": True, "security_model": "user", "security_domain": "nobody"},
    ],
    ids=["chroot", "user", "both"],
)
def test_one_that_gave_up_its_rights(hypervisor, nothing_left, listed, parameters):
    made = instance.instance(NAME, **parameters)
    hypervisor.StartInstance(made, [], False)
    assert listed() == [NAME]
    (root,) = [Path(type(hypervisor)._ROOT_DIR)]
    pidfile = root / "pid" / NAME
    text = pidfile.read_text()
    pidfile.unlink()
    assert listed() == [NAME]
    assert hypervisor.GetInstanceInfo(NAME)[1] == int(text)
    hypervisor.StopInstance(made, force=True)
    hypervisor.CleanupInstance(NAME)
    nothing_left()
