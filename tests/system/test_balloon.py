"""Ballooning a real guest: the call returns when the guest is there, and says so if it is not."""

from __future__ import annotations

import os
import signal

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm import errors as own_errors
from ganeti_hv_kvm.hv_kvm.lifecycle import balloon
from harness import guest, instance
from harness.console import SerialConsole

pytestmark = pytest.mark.only_3_1

NAME = "web1.example.com"
BOOT_TIMEOUT = 90.0


@pytest.fixture
def made():
    return instance.instance(NAME, memory=256, minimum_memory=128)


def memory_seen_by_guest(serial: SerialConsole) -> int:
    line = serial.wait_for(guest.STATUS_LINE.search, BOOT_TIMEOUT)
    return int(guest.STATUS_LINE.search(line)["memory"])


def test_the_guest_gives_memory_back_and_takes_it_again(hypervisor, made):
    hypervisor.StartInstance(made, [], False)
    with SerialConsole(hypervisor._InstanceSerial(NAME)) as serial:
        at_first = memory_seen_by_guest(serial)
        for wanted in (176, 256):
            hypervisor.BalloonInstanceMemory(made, wanted)
            assert hypervisor.GetInstanceInfo(NAME)[2] == wanted
            # the guest sees as much less as it gave; the kernel's own part stays as it was
            serial.wait_for(shows(at_first - 256 + wanted), BOOT_TIMEOUT)


def shows(mebibytes: int):
    def found(line: str) -> bool:
        status = guest.STATUS_LINE.search(line)
        return status is not None and int(status["memory"]) == mebibytes

    return found


def test_a_guest_without_a_driver_is_an_error_that_tells_what_it_has(hypervisor, made):
    made.hvparams[constants.HV_KERNEL_ARGS] += " rdinit=/no/such/init panic=0"
    hypervisor.StartInstance(made, [], False)
    with pytest.raises(errors.HypervisorError, match=r"176 MiB .* has 256 MiB: .* no balloon"):
        balloon.balloon(hypervisor._Guest(None, NAME), 176, patience=1.0)


def test_a_paused_guest_is_an_error_at_once(hypervisor, made):
    hypervisor.StartInstance(made, [], True)
    with pytest.raises(errors.HypervisorError, match=r"256 MiB: it .*prelaunch"):
        balloon.balloon(hypervisor._Guest(None, NAME), 176, patience=1000.0)


def test_a_monitor_that_hangs_is_an_error(hypervisor, made):
    hypervisor.StartInstance(made, [], True)
    os.kill(hypervisor.GetInstanceInfo(NAME)[1], signal.SIGSTOP)
    with pytest.raises(own_errors.QmpTimeoutError):
        hypervisor.BalloonInstanceMemory(made, 176)


def test_an_instance_that_does_not_run_is_an_error(hypervisor, made, nothing_left):
    with pytest.raises(errors.HypervisorError, match=NAME):
        hypervisor.BalloonInstanceMemory(made, 176)
    nothing_left()
