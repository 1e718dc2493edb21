"""A soft reboot of a real guest: it shuts down by itself, and comes back with what it had."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm.errors import ProcessUnknownError
from ganeti_hv_kvm.hv_kvm import hypervisor as facade
from ganeti_hv_kvm.hv_kvm.ganeti import settings
from ganeti_hv_kvm.hv_kvm.lifecycle import reboot
from harness import guest, instance
from harness.console import SerialConsole

pytestmark = pytest.mark.rather_3_0

NAME = "web1.example.com"
BOOT_TIMEOUT = 90.0


@pytest.fixture
def disks(tmp_path):
    return [instance.disk(tmp_path)]


@pytest.fixture
def made(disks):
    return instance.instance(NAME, nics=[instance.nic()], disks=disks)


def wait_until_up(hypervisor, wanted=guest.STATUS_LINE.search) -> str:
    with SerialConsole(hypervisor._InstanceSerial(NAME)) as serial:
        return serial.wait_for(wanted, BOOT_TIMEOUT)


def copy_of(file: Path, folder: Path) -> str:
    return shutil.copy(file, folder)


def pid_of(hypervisor) -> int:
    return hypervisor.GetInstanceInfo(NAME)[1]


def test_the_guest_shuts_down_and_comes_back_as_it_was(hypervisor, made, disks, monkeypatch):
    forced = []
    monkeypatch.setattr(reboot.stop, "power_off", lambda *args: forced.append(args))
    hypervisor.StartInstance(made, disks, False)
    before = guest.STATUS_LINE.search(wait_until_up(hypervisor))
    old_pid = pid_of(hypervisor)
    runtime = hypervisor._ReadKVMRuntime(NAME)
    hypervisor.RebootInstance(made)
    assert forced == []
    assert pid_of(hypervisor) != old_pid
    assert hypervisor._ReadKVMRuntime(NAME) == runtime
    after = guest.STATUS_LINE.search(wait_until_up(hypervisor))
    for what in ("cpus", "memory", "disks", "nics"):
        assert after[what] == before[what]
    assert "vda:16MiB" in after["disks"]
    assert "aa:00:00:12:34:00" in after["nics"]


def test_a_guest_that_does_not_listen_is_ended_after_the_limit(
    hypervisor, made, disks, monkeypatch, caplog
):
    monkeypatch.setenv(settings.REBOOT.variable, "2")
    # the kernel's argument keeps the guest's init, and so its power button, away
    made.hvparams[constants.HV_KERNEL_ARGS] += " rdinit=/no/such/init panic=0"
    hypervisor.StartInstance(made, disks, False)
    old_pid = pid_of(hypervisor)
    hypervisor.RebootInstance(made)
    assert "did not shut down within 2 s" in caplog.text
    assert pid_of(hypervisor) != old_pid


@pytest.mark.parametrize("how", ["no ACPI", "never ran"])
def test_a_guest_that_cannot_be_asked_is_ended_at_once(hypervisor, made, disks, monkeypatch, how):
    # far longer than the test may take: nobody waits for this guest
    monkeypatch.setenv(settings.REBOOT.variable, "1000")
    made.hvparams[constants.HV_ACPI] = how != "no ACPI"
    hypervisor.StartInstance(made, disks, how == "never ran")
    old_pid = pid_of(hypervisor)
    hypervisor.RebootInstance(made)
    assert pid_of(hypervisor) != old_pid


def test_what_does_not_run_cannot_be_rebooted(hypervisor, made, nothing_left):
    with pytest.raises(errors.HypervisorError, match="does not run"):
        hypervisor.RebootInstance(made)
    nothing_left()


def test_a_guest_that_could_not_come_back_is_left_alone(hypervisor, made, disks, tmp_path):
    password = tmp_path / "password"
    password.write_text("sesame")
    made.network_port = 5917
    made.hvparams[constants.HV_VNC_BIND_ADDRESS] = "127.0.0.1"
    made.hvparams[constants.HV_VNC_PASSWORD_FILE] = str(password)
    hypervisor.StartInstance(made, disks, False)
    before = hypervisor.GetInstanceInfo(NAME)
    password.unlink()
    with pytest.raises(errors.HypervisorError, match=rf"still runs.*{password}"):
        hypervisor.RebootInstance(made)
    assert hypervisor.GetInstanceInfo(NAME) == before


def test_what_qemu_would_not_find_again(hypervisor, made, disks, tmp_path, monkeypatch):
    """Fault: the guest is ended first, and then its disk, its CD or its kernel is not there."""
    made.hvparams[constants.HV_KERNEL_PATH] = kernel = copy_of(guest.kernel(), tmp_path)
    made.hvparams[constants.HV_CDROM_IMAGE_PATH] = cdrom = str(tmp_path / "cd.iso")
    (tmp_path / "cd.iso").write_bytes(bytes(1 << 20))
    hypervisor.StartInstance(made, disks, False)
    before = hypervisor.GetInstanceInfo(NAME)
    for path in (kernel, cdrom, disks[0][1]):
        os.rename(path, f"{path}.away")
        with pytest.raises(errors.HypervisorError, match=rf"still runs.*'{path}'"):
            hypervisor.RebootInstance(made)
        assert hypervisor.GetInstanceInfo(NAME) == before
        os.rename(f"{path}.away", path)
    monkeypatch.setenv(settings.REBOOT.variable, "0")  # it has not booted: nobody to be asked
    hypervisor.RebootInstance(made)
    assert hypervisor.GetInstanceInfo(NAME)[1] != before[1]


def test_a_display_set_since_the_start_is_no_hindrance(hypervisor, made, disks):
    hypervisor.StartInstance(made, disks, True)
    made.hvparams[constants.HV_VNC_BIND_ADDRESS] = "127.0.0.1"
    made.hvparams[constants.HV_VNC_PASSWORD_FILE] = "/no/such/password"
    hypervisor.RebootInstance(made)
    assert hypervisor.ListInstances() == [NAME]


def test_a_failed_start_says_that_the_guest_is_down(
    hypervisor, made, disks, nothing_left, monkeypatch
):
    hypervisor.StartInstance(made, disks, True)

    def fail(*_args):
        raise errors.HypervisorError("no road to this network")

    monkeypatch.setattr(facade.KVMHypervisor, "_ConfigureNIC", staticmethod(fail))
    with pytest.raises(errors.HypervisorError, match=r"it is down now: .*no road"):
        hypervisor.RebootInstance(made)
    assert hypervisor.ListInstances() == []
    nothing_left()


@pytest.mark.parametrize(
    ("text", "seconds"), [("", 60.0), ("7.5", 7.5), ("0", 0.0), ("-1", 60.0), ("x", 60.0)]
)
def test_the_limit_from_the_environment(monkeypatch, text, seconds):
    monkeypatch.setenv(settings.REBOOT.variable, text)
    assert settings.REBOOT.value() == seconds


def hide_the_end(hypervisor, monkeypatch):
    """From now on the pid file can be read for as long as QEMU lives, but not afterwards."""
    real = type(hypervisor)._InstancePidAlive

    def alive(name):
        found = real(name)
        if not found[2]:
            raise ProcessUnknownError("its pid file cannot be read")
        return found

    monkeypatch.setenv("GANETI_HV_KVM_REBOOT_TIMEOUT", "0")
    monkeypatch.setattr(type(hypervisor), "_InstancePidAlive", staticmethod(alive))


def test_the_kernel_knows_that_qemu_has_ended_where_no_file_tells(
    hypervisor, made, disks, monkeypatch
):
    """Fault: it stayed down for a pid file that could not be read."""
    hypervisor.StartInstance(made, disks, True)
    before = hypervisor.GetInstanceInfo(NAME)[1]
    hide_the_end(hypervisor, monkeypatch)
    hypervisor.RebootInstance(made)
    assert hypervisor.GetInstanceInfo(NAME)[1] != before


def test_without_a_pidfd_a_doubt_after_the_shutdown_names_what_is_left(
    hypervisor, made, disks, monkeypatch
):
    """Fault: "nothing was ended on this doubt", of a guest that had been."""
    hypervisor.StartInstance(made, disks, True)
    hide_the_end(hypervisor, monkeypatch)

    def none(pid, flags=0):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(reboot.os, "pidfd_open", none)
    with pytest.raises(errors.HypervisorError, match="it is down now, or") as caught:
        hypervisor.RebootInstance(made)
    assert hypervisor._Files(NAME).runtime in str(caught.value)
    monkeypatch.undo()
    hypervisor.CleanupInstance(NAME)


def test_an_os_error_in_the_next_start_says_that_the_guest_is_down(
    hypervisor, made, disks, monkeypatch
):
    """Fault: the bare error, and not a word about the guest."""
    hypervisor.StartInstance(made, disks, True)
    monkeypatch.setenv("GANETI_HV_KVM_REBOOT_TIMEOUT", "0")
    with monkeypatch.context() as patched:

        def fail(_files):
            raise PermissionError(1, "Operation not permitted")

        patched.setattr(reboot.instance_files, "remove_all", fail)
        with pytest.raises(errors.HypervisorError, match=r"is down now: .*not permitted"):
            hypervisor.RebootInstance(made)
    hypervisor.CleanupInstance(NAME)
