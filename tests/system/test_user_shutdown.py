"""A guest that is switched off from within, as Ganeti's real daemon kvmd sees it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from ganeti import errors
from ganeti.hypervisor import hv_base

from harness import guest, instance, kvmd
from harness.console import SerialConsole

pytestmark = pytest.mark.only_3_0

NAME = "web1.example.com"
BOOT_TIMEOUT = 90.0
SHUT_DOWN = (NAME, -1, 0, 0, hv_base.HvInstanceState.SHUTDOWN, 0)


@pytest.fixture
def daemon(hypervisor):
    with kvmd.can_run(Path(os.environ["GANETI_ROOTDIR"])):
        yield


@pytest.fixture
def made():
    return instance.instance(NAME, user_shutdown=True)


def wait_until_down(hypervisor) -> None:
    deadline = time.monotonic() + 30
    while hypervisor._InstancePidAlive(NAME)[2]:
        assert time.monotonic() < deadline, "QEMU still runs"
        time.sleep(0.05)


def wait_until_seen(hypervisor) -> None:
    deadline = time.monotonic() + 10
    while hypervisor.GetInstanceInfo(NAME) != SHUT_DOWN:
        assert time.monotonic() < deadline, hypervisor.GetInstanceInfo(NAME)
        time.sleep(0.05)


def type_in_guest(hypervisor, command: str) -> None:
    with SerialConsole(hypervisor._InstanceSerial(NAME)) as serial:
        serial.wait_for(guest.STATUS_LINE.search, BOOT_TIMEOUT)
        serial.send(command)
        wait_until_down(hypervisor)


def test_a_guest_that_powers_itself_off_is_shut_down_by_its_user(daemon, hypervisor, made):
    hypervisor.StartInstance(made, [], False)
    type_in_guest(hypervisor, "poweroff -f")
    wait_until_seen(hypervisor)
    assert hypervisor.ListInstances() == []
    assert hypervisor.GetAllInstancesInfo() == [SHUT_DOWN]
    # the next start clears it
    hypervisor.CleanupInstance(NAME)
    assert hypervisor.GetInstanceInfo(NAME) is None


def test_it_is_cleared_by_the_next_start(daemon, hypervisor, made):
    hypervisor.StartInstance(made, [], True)
    os.kill(hypervisor.GetInstanceInfo(NAME)[1], 15)  # no more than a shutdown, to kvmd
    wait_until_down(hypervisor)
    wait_until_seen(hypervisor)
    hypervisor.StartInstance(made, [], True)
    assert not hypervisor._IsUserShutdown(NAME)
    assert hypervisor.GetInstanceInfo(NAME)[4] == hv_base.HvInstanceState.RUNNING


def test_it_is_cleared_by_a_stop(daemon, hypervisor, made):
    hypervisor.StartInstance(made, [], True)
    os.kill(hypervisor.GetInstanceInfo(NAME)[1], 15)
    wait_until_down(hypervisor)
    wait_until_seen(hypervisor)
    hypervisor.StopInstance(made)
    assert hypervisor.GetInstanceInfo(NAME) is None
    hypervisor.CleanupInstance(NAME)


def test_a_guest_that_ganeti_shuts_down_is_not(daemon, hypervisor, made):
    hypervisor.StartInstance(made, [], False)
    with SerialConsole(hypervisor._InstanceSerial(NAME)) as serial:
        serial.wait_for(guest.STATUS_LINE.search, BOOT_TIMEOUT)
        hypervisor.StopInstance(made)
        wait_until_down(hypervisor)
    time.sleep(0.5)  # kvmd would have written its file long before
    assert hypervisor.GetInstanceInfo(NAME) is None
    hypervisor.CleanupInstance(NAME)


def test_a_daemon_that_cannot_be_started(hypervisor, made, nothing_left, monkeypatch):
    from ganeti import pathutils

    monkeypatch.setattr(pathutils, "DAEMON_UTIL", "/bin/false")
    with pytest.raises(errors.HypervisorError, match="user_shutdown"):
        hypervisor.StartInstance(made, [], False)
    nothing_left()
