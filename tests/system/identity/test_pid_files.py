"""A guest is known by who holds its pid file, or listens on its monitor: not by what is written."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from ganeti import errors

from harness import instance, lock_holder

pytestmark = [pytest.mark.qemu, pytest.mark.rather_3_0]
STRANGER = str(os.getpid()).encode()


def ends(hypervisor, guest) -> None:
    """It is ended, and cleaned up after."""
    hypervisor.StopInstance(None, force=True, name=guest.name)
    assert lock_holder.state(guest.process.pid) in "Z"
    hypervisor.CleanupInstance(guest.name)
    assert not guest.runtime.exists()


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\0\x80", b"9" * 20, b"-1", b"0", b"x" * 300, b"1 2", STRANGER]
)
def test_the_content_of_a_pid_file_says_nothing(hypervisor, start, listed, content):
    guest, other = start(2)
    guest.pidfile.write_bytes(content)
    assert listed() == [guest.name, other.name]
    assert hypervisor.GetInstanceInfo(guest.name)[1] == guest.process.pid
    assert hypervisor._InstancePidAlive(guest.name)[1:] == (guest.process.pid, True)
    with pytest.raises(errors.HypervisorError, match="still runs"):
        hypervisor.CleanupInstance(guest.name)
    ends(hypervisor, guest)
    assert listed() == [other.name]


def _link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


REPLACEMENTS = {
    "nothing": lambda path: None,
    "a directory": Path.mkdir,
    "a FIFO": lambda path: os.mkfifo(path),
    "a dangling link": _link("/nowhere/at/all"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a file with a stranger's number": lambda path: path.write_bytes(STRANGER),
}


@pytest.mark.parametrize("replacement", REPLACEMENTS)
def test_a_pid_file_that_is_gone_leaves_the_listener(hypervisor, start, listed, replacement):
    guest, other = start(2)
    guest.pidfile.unlink()
    REPLACEMENTS[replacement](guest.pidfile)
    assert listed() == [guest.name, other.name]
    with pytest.raises(errors.HypervisorError, match="runs already"):
        hypervisor.StartInstance(instance.instance(guest.name), [], False)
    hypervisor.StopInstance(None, force=True, name=guest.name)
    assert lock_holder.state(guest.process.pid) in "Z"
    if guest.pidfile.is_dir():
        guest.pidfile.rmdir()
    elif os.path.lexists(guest.pidfile):
        guest.pidfile.unlink()


def test_without_a_runtime_file_it_is_listed_all_the_same(start, listed):
    (guest,) = start()
    guest.runtime.unlink()
    assert listed() == [guest.name]


def test_a_stranger_who_has_the_number_is_left_alone(hypervisor, start, listed):
    guest, other = start(2)
    guest.process.kill()
    guest.process.wait()
    guest.pidfile.write_text(f"{other.process.pid}\n")
    assert listed() == [other.name]
    hypervisor.StopInstance(None, force=True, name=guest.name)
    hypervisor.CleanupInstance(guest.name)
    assert lock_holder.state(other.process.pid) not in ("", "Z")
    assert not guest.pidfile.exists()
    assert listed() == [other.name]


def test_in_doubt_nothing_is_done(hypervisor, start, listed, caplog):
    guest, other = start(2)
    # neither witness can be read
    guest.pidfile.unlink()
    guest.pidfile.symlink_to(guest.pidfile)
    aside = guest.qmp.with_name("aside")
    guest.qmp.rename(aside)
    before = sorted(Path(type(hypervisor)._ROOT_DIR).rglob("*"))
    assert listed() == [guest.name, other.name]
    assert "It stays in the list" in caplog.text
    made = instance.instance(guest.name)
    for operation in (
        lambda: hypervisor.GetInstanceInfo(guest.name),
        lambda: hypervisor.StopInstance(None, force=True, name=guest.name),
        lambda: hypervisor.StopInstance(made),
        lambda: hypervisor.CleanupInstance(guest.name),
        lambda: hypervisor.StartInstance(made, [], False),
        lambda: hypervisor.RebootInstance(made),
        lambda: hypervisor.FinalizeMigrationSource(made, True, True),
        lambda: hypervisor.FinalizeMigrationSource(made, False, True),
        lambda: hypervisor.FinalizeMigrationDst(made, "", True),
        lambda: hypervisor.FinalizeMigrationDst(made, "", False),
    ):
        with pytest.raises(errors.HypervisorError, match="cannot be told") as raised:
            operation()
        assert guest.name in str(raised.value)
    assert sorted(Path(type(hypervisor)._ROOT_DIR).rglob("*")) == before
    assert guest.process.poll() is None
    aside.rename(guest.qmp)
    guest.pidfile.unlink()


def test_odd_files_beside_them_break_nothing(hypervisor, start, listed):
    (guest,) = start()
    root = Path(type(hypervisor)._ROOT_DIR)
    made: list[Path] = []
    for folder, suffix in (("pid", ""), ("ctrl", ".qmp"), ("conf", ".runtime")):
        for name in ("new\nline", "sp ace", "n" * 240, "folder", "fifo", "link", ".", ""):
            path = root / folder / f"{name}{suffix}"
            if name in ("", ".") and not suffix:
                continue
            made.append(path)
            if name == "folder":
                path.mkdir()
            elif name == "fifo":
                os.mkfifo(path)
            elif name == "link":
                path.symlink_to("/nowhere/at/all")
            else:
                path.write_bytes(b"y" * 300)
        raw = os.path.join(os.fsencode(root / folder), b"\xff\xfe" + suffix.encode())
        with open(raw, "wb"):
            made.append(Path(os.fsdecode(raw)))
    assert listed() == [guest.name]
    for path in made:
        path.rmdir() if path.is_dir() else path.unlink()


def test_a_socket_or_a_dead_socket_is_no_guest(hypervisor, listed):
    root = Path(type(hypervisor)._ROOT_DIR)
    for path in (root / "pid/dead.example.com", root / "ctrl/dead.example.com.qmp"):
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    assert listed() == []
    hypervisor.CleanupInstance("dead.example.com")


def test_a_folder_that_cannot_be_read_is_an_error(hypervisor, start):
    start()
    root = Path(type(hypervisor)._ROOT_DIR)
    shutil.move(root / "pid", root / "elsewhere")
    (root / "pid").write_text("")
    try:
        for listing in (hypervisor.ListInstances, hypervisor.GetAllInstancesInfo):
            with pytest.raises(errors.HypervisorError, match="cannot be read"):
                listing()
    finally:
        (root / "pid").unlink()
        shutil.move(root / "elsewhere", root / "pid")


def test_where_both_files_are_gone_it_is_not_started_a_second_time(hypervisor, start, listed):
    """A cleaner of /run took pid file and socket; the runtime file still names the guest."""
    guest, other = start(2)
    guest.pidfile.unlink()
    guest.qmp.unlink()
    assert listed() == [guest.name, other.name]
    assert hypervisor.GetInstanceInfo(guest.name)[1] == guest.process.pid
    with pytest.raises(errors.HypervisorError, match="it runs already"):
        hypervisor.StartInstance(instance.instance(guest.name), [], False)
    assert guest.process.poll() is None
    hypervisor.StopInstance(None, force=True, name=guest.name)
    guest.process.wait()
    assert hypervisor.GetInstanceInfo(guest.name) is None
    assert listed() == [other.name]
