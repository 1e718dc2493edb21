"""How a soft reboot ends the old QEMU: a real process, and a monitor that says what it is told."""

from __future__ import annotations

import json
import logging
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from ganeti import errors

from ganeti_hv_kvm.errors import QmpTimeoutError
from ganeti_hv_kvm.hv_kvm.lifecycle import reboot
from unit.hv_kvm.node_of_one import instance

NAME = "web1.example.com"


class Qemu:
    """A process, and its monitor: ``status``, and what becomes of a power button."""

    def __init__(self, status: str = "running", *, obeys: bool = True, busy: int = 0) -> None:
        self.process = subprocess.Popen(["sleep", "600"])
        self.status = status
        self.obeys = obeys
        self.busy = busy
        self.heard: list[str] = []
        self.timeout = 5.0

    def __enter__(self) -> Qemu:
        self.busy -= 1
        if self.busy >= 0:
            raise QmpTimeoutError("another client holds this monitor: process 12")
        return self

    def __exit__(self, *_error: object) -> None:
        return None

    def execute_qmp(self, command: str, _arguments: object = None, **_: object) -> object:
        self.heard.append(command)
        if command == "system_wakeup":
            self.status = "running"
        if command == "system_powerdown" and self.obeys and self.status == "running":
            self.process.kill()
            self.process.wait()
        return {"status": self.status, "running": self.status == "running"}


@pytest.fixture
def qemu():
    made: list[Qemu] = []

    def make(*args, **kwargs):
        made.append(Qemu(*args, **kwargs))
        return made[-1]

    yield make
    for one in made:
        one.process.kill()
        one.process.wait()


@pytest.fixture
def forced(monkeypatch):
    """What was ended by force; it dies of it."""
    names = []

    def power_off(guest):
        names.append(guest.name)
        guest.qemu.process.kill()
        guest.qemu.process.wait()

    monkeypatch.setattr(reboot.stop, "power_off", power_off)
    return names


def end(qemu, limit=20.0, *, acpi=True):
    pid = qemu.process.pid
    guest = SimpleNamespace(name=NAME, qemu=qemu, monitor=lambda: qemu, pid=lambda: pid)
    start = SimpleNamespace(guest=guest, has_power_button=lambda: acpi)
    reboot._end(start, pid, limit)


def test_a_guest_that_obeys_is_not_ended(qemu, forced):
    one = qemu()
    end(one)
    assert forced == []
    assert one.heard[-1] == "system_powerdown"


def test_a_sleeping_guest_is_woken_first(qemu, forced):
    one = qemu("suspended")
    end(one)
    assert forced == []
    assert one.heard.index("system_wakeup") < one.heard.index("system_powerdown")


def test_a_held_monitor_is_tried_again(qemu, forced, caplog):
    one = qemu(busy=2)
    end(one)
    assert forced == []
    assert "cannot be asked to shut down yet: another client holds this monitor" in caplog.text


def test_who_was_never_asked_is_said(qemu, forced, caplog):
    one = qemu(busy=1000)
    end(one, limit=1.5)
    assert forced == [NAME]
    assert one.heard == []
    assert "It was never asked (another client holds this monitor: process 12)" in caplog.text


def test_who_does_not_obey_is_ended_after_the_limit(qemu, forced, caplog):
    one = qemu(obeys=False)
    end(one, limit=0.5)
    assert forced == [NAME]
    assert "did not shut down within 0.5 s: ending it for its reboot" in caplog.text
    assert "never asked" not in caplog.text


def test_without_acpi_nobody_is_asked(qemu, forced, caplog):
    caplog.set_level(logging.INFO)
    one = qemu()
    end(one, acpi=False)
    assert (forced, one.heard) == ([NAME], [])


@pytest.mark.parametrize("status", ["guest-panicked", "shutdown", "prelaunch"])
def test_where_there_is_nobody_to_ask_no_time_is_spent(status, qemu, forced, caplog):
    end(qemu(status), limit=600.0)
    assert forced == [NAME]
    assert "nobody to be asked" in caplog.text


@pytest.mark.parametrize("status", ["inmigrate", "postmigrate", "finish-migrate"])
def test_a_guest_on_its_way_is_left_alone(status, qemu, forced):
    one = qemu(status)
    with pytest.raises(errors.HypervisorError, match="gnt-instance migrate --cleanup"):
        end(one)
    assert forced == []
    assert one.process.poll() is None


def test_a_qemu_that_cannot_be_ended_is_told(qemu, monkeypatch):
    monkeypatch.setattr(reboot.stop, "power_off", lambda _guest: None)
    one = qemu(obeys=False)
    with pytest.raises(errors.HypervisorError, match=f"process {one.process.pid}.*not be ended"):
        end(one, limit=0.2)


def test_a_runtime_file_with_odd_values_leaves_the_guest_alone(node):
    """Fault: a bare TypeError."""
    made = instance(nics=1)
    node.running(made)
    runtime = Path(node.files.runtime)
    loaded = json.loads(runtime.read_text())
    loaded[1][0]["nicparams"]["mode"] = [[]]
    runtime.write_text(json.dumps(loaded))
    with pytest.raises(errors.HypervisorError, match=r"not rebooted, and still runs.*runtime"):
        node.hypervisor.RebootInstance(made)
    assert node.log == []
