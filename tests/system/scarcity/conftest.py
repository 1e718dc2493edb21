"""Operations in a process of their own, from which something was taken; QEMU is a real one."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness import instance, leftovers
from harness.descriptors import open_files

NAME = "web1.example.com"
_LIMIT = 100.0


class Outcome(NamedTuple):
    """What an operation gave, or raised: the classes of the error, and its text."""

    value: Any
    kinds: tuple[str, ...]
    text: str
    #: files that it left open
    left_open: tuple[str, ...] = ()

    @property
    def is_right(self) -> bool:
        """Done, or refused as Ganeti's daemons expect it; nothing left open."""
        family = not self.kinds or "HypervisorError" in self.kinds
        # Python's own subprocess leaves its pipes where the next one cannot be made
        return family and all("pipe:" in name for name in self.left_open)


def in_child(operation: Callable[[], Any], *, take: Callable[[], object]) -> Outcome:
    """Forks as Ganeti's node daemon does for each request, takes, and operates."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            before = set(_open_files())
            take()
            outcome = _outcome(operation)
            _give_back()
            left = tuple(sorted(set(_open_files()) - before))
            os.write(writing, pickle.dumps(outcome._replace(left_open=left)))
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answer:
        end = time.monotonic() + _LIMIT
        while not os.waitpid(child, os.WNOHANG)[0]:
            if time.monotonic() > end:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                pytest.fail(f"no answer within {_LIMIT:g} s")
            time.sleep(0.01)
        told = answer.read()
    assert told, "the process died"
    outcome: Outcome = pickle.loads(told)
    return outcome


def _outcome(operation: Callable[[], Any]) -> Outcome:
    try:
        return Outcome(operation(), (), "")
    except BaseException as err:
        return Outcome(None, tuple(kind.__name__ for kind in type(err).__mro__), str(err))


def _give_back() -> None:
    import resource

    for what in (resource.RLIMIT_NOFILE, resource.RLIMIT_AS, resource.RLIMIT_FSIZE):
        hard = resource.getrlimit(what)[1]
        resource.setrlimit(what, (hard, hard))


def _open_files() -> Iterator[str]:
    for fd, target in open_files():
        if target != "/dev/null":  # with which the test itself takes descriptors away
            yield f"{fd} {target}"


class Bench:
    """A hypervisor object, and one guest that may run."""

    def __init__(self, hypervisor: Any, folder: Path) -> None:
        self.hypervisor = hypervisor
        self.folder = folder
        self.run_folder = Path(type(hypervisor)._ROOT_DIR)
        self.disks = [instance.disk(folder)]
        self.guest = instance.instance(NAME, nics=[instance.nic()], disks=self.disks, memory=64)
        self._before = leftovers.take(self.run_folder)

    def start(self) -> None:
        self.hypervisor.StartInstance(self.guest, self.disks, True)

    def stop(self) -> None:
        self.hypervisor.StopInstance(self.guest, force=True)

    def clean_up(self) -> None:
        self.hypervisor.CleanupInstance(NAME)

    def add_nic(self) -> None:
        self.hypervisor.HotAddDevice(self.guest, "nic", instance.nic(1), None, 1)

    def add_disk(self) -> None:
        disk = instance.disk(self.folder, 1)
        self.hypervisor.HotAddDevice(self.guest, "disk", disk[0], disk[1:], 1)

    def reboot(self) -> None:
        self.hypervisor.RebootInstance(self.guest)

    def names(self) -> list[str]:
        return sorted(self.hypervisor.ListInstances())

    def infos(self) -> list[str]:
        return sorted(info[0] for info in self.hypervisor.GetAllInstancesInfo())

    def info(self) -> str | None:
        found = self.hypervisor.GetInstanceInfo(NAME)
        return found[0] if found else None

    def left(self) -> list[str]:
        """What there is more than at the beginning."""
        return leftovers.take(self.run_folder).added_since(self._before)

    def qemu(self) -> int:
        """The guest's process, as the kernel has it."""
        pid = int((self.run_folder / "pid" / NAME).read_text())
        os.kill(pid, 0)
        return pid


@pytest.fixture
def bench(hypervisor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    # a guest that was started paused releases nothing
    monkeypatch.setenv("GANETI_HV_KVM_UNPLUG_TIMEOUT", "2")
    return Bench(hypervisor, tmp_path)
