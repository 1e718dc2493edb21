"""With few descriptors, or none, a listing names every guest, or is an error."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ganeti import errors

from harness import instance

pytestmark = [pytest.mark.qemu, pytest.mark.only_3_0, pytest.mark.one_in(2)]


@contextmanager
def descriptors(spare: int) -> Iterator[None]:
    """So many can still be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = sorted(map(int, os.listdir("/proc/self/fd")))
    limit = taken[-1] + 1
    # every number below the limit is taken, then some are given back
    free = [number for number in range(limit + spare) if number not in taken]
    held = [os.dup2(taken[0], number, inheritable=False) for number in free]
    for number in held[len(held) - spare :]:
        os.close(number)
    del held[len(held) - spare :]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit + spare, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for number in held:
            os.close(number)


@pytest.mark.parametrize("spare", range(13))
def test_a_listing_with_few_descriptors(hypervisor, start, spare):
    guests = start(6)
    expected = sorted(guest.name for guest in guests)
    for listing in (
        hypervisor.ListInstances,
        lambda: [info[0] for info in hypervisor.GetAllInstancesInfo()],
    ):
        with descriptors(spare):
            try:
                names = listing()
            except errors.HypervisorError as err:
                names = err
        if spare >= 3:
            assert names == expected
        else:
            assert isinstance(names, errors.HypervisorError) or names == expected


_FIND = "import sys; from ganeti_hv_kvm import _native; print(_native.find_process(*sys.argv[1:]))"


@pytest.mark.parametrize("error", ["EMFILE", "ENFILE", "ENOMEM", "ENOBUFS"])
def test_without_its_files_it_is_not_taken_for_gone(start, error):
    """Pid file and socket were removed: what is left is asked of the kernel, by a socket."""
    (guest,) = start()
    guest.pidfile.unlink()
    guest.qmp.unlink()
    command = [sys.executable, "-c", _FIND, str(guest.pidfile), str(guest.qmp)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(found.stdout) == guest.process.pid
    failing = ["strace", "-f", "-o", os.devnull, "-e", f"inject=socket:error={error}"]
    told = subprocess.run([*failing, *command], capture_output=True, text=True, check=False)
    assert "ProcessUnknownError" in told.stderr


@pytest.mark.parametrize("spare", [0, 1, 2])
def test_nothing_is_removed_or_ended(hypervisor, start, spare):
    (guest,) = start()
    made = instance.instance(guest.name)
    root = Path(type(hypervisor)._ROOT_DIR)
    before = sorted(root.rglob("*"))
    for operation in (
        lambda: hypervisor.FinalizeMigrationSource(made, True, True),
        lambda: hypervisor.FinalizeMigrationDst(made, "", False),
        lambda: hypervisor.CleanupInstance(guest.name),
    ):
        with descriptors(spare):
            try:
                operation()
                failed = False
            except errors.HypervisorError:
                failed = True
        if spare == 0:
            assert failed
            assert guest.process.poll() is None
        if guest.process.poll() is None:
            assert sorted(root.rglob("*")) == before
            assert hypervisor.ListInstances() == [guest.name]
