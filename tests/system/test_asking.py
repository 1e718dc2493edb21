"""A guest is ended only after it was asked for the whole limit, whatever keeps it from hearing."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm import _native
from ganeti_hv_kvm.hv_kvm.ganeti import settings
from ganeti_hv_kvm.hv_kvm.lifecycle import reboot
from harness import guest, instance
from harness.console import SerialConsole
from harness.proxy import ANY, COMMAND, Proxy, cut

pytestmark = [pytest.mark.only_3_0, pytest.mark.one_in(2)]

NAME = "web1.example.com"
BOOT_TIMEOUT = 90.0
SHUTDOWN_TIMEOUT = 30.0


@pytest.fixture
def disks(tmp_path):
    return [instance.disk(tmp_path)]


@pytest.fixture
def made(disks):
    return instance.instance(NAME, disks=disks)


@pytest.fixture
def console(hypervisor, made, disks) -> Iterator[SerialConsole]:
    """The console of a guest that runs Linux."""
    hypervisor.StartInstance(made, disks, False)
    with SerialConsole(hypervisor._InstanceSerial(NAME)) as serial:
        serial.wait_for(guest.STATUS_LINE.search, BOOT_TIMEOUT)
        yield serial


@pytest.fixture
def forced(monkeypatch) -> list[object]:
    """What was ended by force; nothing is."""
    calls: list[object] = []
    monkeypatch.setattr(reboot.stop, "power_off", lambda *args: calls.append(args))
    return calls


def pid_of(hypervisor) -> int:
    return hypervisor.GetInstanceInfo(NAME)[1]


def ask(hypervisor, command: str, **arguments: object) -> object:
    """A command by the second monitor, whoever holds the first."""
    second = hypervisor._InstanceQmpMonitor(NAME).replace(".qmp", ".kvmd")
    with _native.QmpConnection(second, 5.0) as qmp:
        return qmp.execute_qmp(command, arguments)


def status(hypervisor) -> object:
    return ask(hypervisor, "query-status")["status"]


@pytest.fixture(autouse=True)
def _cleaned_up(hypervisor) -> Iterator[None]:
    """As Ganeti does it when a guest has gone."""
    yield
    if NAME not in hypervisor.ListInstances():
        hypervisor.CleanupInstance(NAME)


def wait_until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + SHUTDOWN_TIMEOUT
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def held(hypervisor) -> Iterator[None]:
    """Another client holds the monitor."""
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(hypervisor._InstanceQmpMonitor(NAME))
        other.settimeout(10)
        assert b"QMP" in other.recv(4096)
        yield


@contextmanager
def later(seconds: float, action: Callable[[], object]) -> Iterator[None]:
    timer = threading.Timer(seconds, action)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def reboots_by_itself(hypervisor, made, console: SerialConsole, forced: list[object]) -> None:
    old_pid = pid_of(hypervisor)
    hypervisor.RebootInstance(made)
    assert forced == []
    assert pid_of(hypervisor) != old_pid


def test_a_monitor_that_another_client_holds_for_a_while(hypervisor, made, console, forced):
    """Fault: two time-outs of 5 s, and the guest is ended; the limit of 60 s is never used."""
    other = held(hypervisor)
    other.__enter__()
    with later(12, lambda: other.__exit__(None, None, None)):
        reboots_by_itself(hypervisor, made, console, forced)


def test_a_qemu_that_is_stopped_for_a_while(hypervisor, made, console, forced):
    pid = pid_of(hypervisor)
    os.kill(pid, signal.SIGSTOP)
    with later(7, lambda: os.kill(pid, signal.SIGCONT)):
        reboots_by_itself(hypervisor, made, console, forced)


def test_a_guest_that_somebody_paused_and_lets_go_on(hypervisor, made, console, forced):
    ask(hypervisor, "stop")
    with later(7, lambda: ask(hypervisor, "cont")):
        reboots_by_itself(hypervisor, made, console, forced)


def test_a_monitor_that_talks_nonsense_for_a_while(hypervisor, made, console, forced):
    with Proxy(Path(hypervisor._InstanceQmpMonitor(NAME))) as proxy:
        fault = proxy.fail(COMMAND, ANY, cut, times=3)
        reboots_by_itself(hypervisor, made, console, forced)
        assert fault.hits == 3


def fall_asleep(hypervisor, console: SerialConsole) -> None:
    console.send("echo mem >/sys/power/state")
    wait_until(lambda: status(hypervisor) == "suspended")


def test_a_sleeping_guest_is_woken_for_its_reboot(hypervisor, made, console, forced):
    fall_asleep(hypervisor, console)
    reboots_by_itself(hypervisor, made, console, forced)


def test_a_sleeping_guest_is_woken_for_its_shutdown(hypervisor, made, console):
    """Fault: power buttons are lost in its sleep, and it is ended."""
    fall_asleep(hypervisor, console)
    hypervisor.StopInstance(made, timeout=120)
    wait_until(lambda: NAME not in hypervisor.ListInstances())


def test_a_guest_that_was_never_asked_is_ended_at_the_limit(
    hypervisor, made, console, monkeypatch, caplog
):
    monkeypatch.setenv(settings.REBOOT.variable, "4")
    old_pid = pid_of(hypervisor)
    start = time.monotonic()
    with held(hypervisor):
        hypervisor.RebootInstance(made)
    assert time.monotonic() - start >= 4
    assert "within 4 s. It was never asked" in caplog.text
    assert pid_of(hypervisor) != old_pid


def test_a_shutdown_asks_again_and_says_if_it_never_could(hypervisor, made, console, caplog):
    """As Ganeti's node daemon does it: again and again, then by force."""
    with held(hypervisor):
        for retry in (False, True):
            start = time.monotonic()
            hypervisor.StopInstance(made, retry=retry, timeout=2)
            assert time.monotonic() - start < 4
            assert "was not asked to shut down" in caplog.text
            assert hypervisor.ListInstances() == [NAME]
        with pytest.raises(errors.HypervisorError):
            hypervisor.StopInstance(made)
    hypervisor.StopInstance(made, force=True)
    assert "without ever having been asked" in caplog.text
    assert hypervisor.ListInstances() == []


def test_a_shutdown_that_was_heard_at_last(hypervisor, made, console, caplog):
    with held(hypervisor):
        hypervisor.StopInstance(made, timeout=2)
    hypervisor.StopInstance(made, retry=True, timeout=120)
    wait_until(lambda: NAME not in hypervisor.ListInstances())
    hypervisor.StopInstance(made, force=True)
    assert "without ever" not in caplog.text


def test_no_acpi_since_the_start_does_not_mean_that_nobody_listens(
    hypervisor, made, console, forced
):
    made.hvparams = {**made.hvparams, constants.HV_ACPI: False}
    hypervisor.StopInstance(made, timeout=120)
    assert forced == []
    wait_until(lambda: NAME not in hypervisor.ListInstances())


@pytest.mark.parametrize("text", ["5s", "", "nan", "-3", "1e300"])
@pytest.mark.parametrize("limit", [settings.QMP, settings.REBOOT])
def test_a_slip_in_a_setting_ends_no_guest(hypervisor, made, disks, monkeypatch, limit, text):
    hypervisor.StartInstance(made, disks, True)
    before = hypervisor.GetInstanceInfo(NAME)
    monkeypatch.setenv(limit.variable, text)
    another = instance.instance("web2.example.com")
    for operation in (
        lambda: hypervisor.RebootInstance(made),
        lambda: hypervisor.StopInstance(made, timeout=120),
        lambda: hypervisor.BalloonInstanceMemory(made, 64),
        lambda: hypervisor.HotAddDevice(made, "nic", instance.nic(), None, 0),
        lambda: hypervisor.HotModDevice(made, "nic", instance.nic(), None, 0),
        lambda: hypervisor.MigrateInstance("cluster", made, "192.0.2.1", True),
        lambda: hypervisor.StartInstance(another, [], True),
    ):
        with pytest.raises(errors.HypervisorError, match=f"Nothing was done: {limit.variable}"):
            operation()
    assert hypervisor.GetInstanceInfo(NAME) == before
    assert hypervisor.GetAllInstancesInfo() == [before]
    assert status(hypervisor) == "prelaunch"


def test_a_guest_that_has_gone_to_another_node_is_not_started_again(hypervisor, made, console):
    """Fault: it is ended and started here, while it runs there."""
    ask(hypervisor, "migrate", uri="exec:cat >/dev/null")
    wait_until(lambda: status(hypervisor) == "postmigrate")
    old_pid = pid_of(hypervisor)
    with pytest.raises(errors.HypervisorError, match="has left this node by migration"):
        hypervisor.RebootInstance(made)
    assert pid_of(hypervisor) == old_pid
