"""A guest that stopped without being told to: RUNNING to Ganeti, seen in the log and by our tools.

Each state is a real one: a disk that is full, a kernel that panics, a monitor that says "stop".
"""

from __future__ import annotations

import logging
import subprocess
import time

import pytest
from ganeti.hypervisor import hv_base

from ganeti_hv_kvm.hv_kvm import QmpConnection
from ganeti_hv_kvm.qmp_values import run_state
from harness import guest, instance
from harness.console import SerialConsole

pytestmark = pytest.mark.only_3_1

NAME = "web1.example.com"
BOOT_TIMEOUT = 90.0


def ask(hypervisor) -> run_state.RunState:
    with QmpConnection(hypervisor._InstanceQmpMonitor(NAME)) as qmp:
        return run_state.ask(qmp)


def wait_for_state(hypervisor, status: str) -> run_state.RunState:
    deadline = time.monotonic() + 60
    while (state := ask(hypervisor)).status != status:
        assert time.monotonic() < deadline, f"still {state.status}"
        time.sleep(0.1)
    return state


def assert_ganeti_is_told_running(hypervisor, caplog, status: str) -> None:
    caplog.clear()
    with caplog.at_level(logging.INFO):
        ((name, _, _, _, told, _),) = hypervisor.GetAllInstancesInfo()
    assert (name, told) == (NAME, hv_base.HvInstanceState.RUNNING)
    logged = [record.getMessage() for record in caplog.records if NAME in record.getMessage()]
    assert any(f"({status})" in text for text in logged), logged


def test_paused(hypervisor, caplog):
    hypervisor.StartInstance(instance.instance(NAME), [], False)
    assert ask(hypervisor).is_running
    with QmpConnection(hypervisor._InstanceQmpMonitor(NAME)) as qmp:
        qmp.StopGuestEmulation()
    assert not ask(hypervisor).is_trouble
    assert_ganeti_is_told_running(hypervisor, caplog, "paused")


def test_a_full_disk_stops_the_guest(hypervisor, caplog, tmp_path):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "small", str(tmp_path)], check=True)
    try:
        disks = [instance.disk(tmp_path)]
        hypervisor.StartInstance(instance.instance(NAME, disks=disks), disks, False)
        with SerialConsole(hypervisor._InstanceSerial(NAME)) as serial:
            serial.wait_for(guest.STATUS_LINE.search, BOOT_TIMEOUT)
            serial.send("dd if=/dev/urandom of=/dev/vda bs=64k")
            assert wait_for_state(hypervisor, "io-error").is_trouble
        assert_ganeti_is_told_running(hypervisor, caplog, "io-error")
    finally:
        hypervisor.StopInstance(None, force=True, name=NAME)
        hypervisor.CleanupInstance(NAME)
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_panic(hypervisor, caplog):
    panicking = instance.instance(NAME, kvm_extra="-device pvpanic-pci -action panic=pause")
    hypervisor.StartInstance(panicking, [], False)
    with SerialConsole(hypervisor._InstanceSerial(NAME)) as serial:
        serial.wait_for(guest.STATUS_LINE.search, BOOT_TIMEOUT)
        # a panic on the emulated serial line takes a minute to print
        serial.send("echo 0 >/proc/sys/kernel/printk; echo c >/proc/sysrq-trigger")
        assert wait_for_state(hypervisor, "guest-panicked").is_trouble
    assert_ganeti_is_told_running(hypervisor, caplog, "guest-panicked")


def test_every_state_of_this_qemu_is_known(hypervisor):
    """QEMU itself lists its states: none of them may be a surprise."""
    hypervisor.StartInstance(instance.instance(NAME), [], True)
    with QmpConnection(hypervisor._InstanceQmpMonitor(NAME)) as qmp:
        schema = qmp.execute_qmp("query-qmp-schema")
    by_name = {entity["name"]: entity for entity in schema}
    result = by_name[by_name["query-status"]["ret-type"]]
    (of_status,) = [member["type"] for member in result["members"] if member["name"] == "status"]
    unknown = [
        value
        for value in by_name[of_status]["values"]
        if "not known here" in run_state.RunState(value).words
    ]
    assert unknown == []
