"""Guests with and without a parameter that nobody here knows: each gets the QEMU it is to have."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm import original
from ganeti_hv_kvm.hv_kvm import QmpConnection
from ganeti_hv_kvm.hv_kvm.ganeti import settings_file
from harness import instance

NAME = "moon1.example.com"
VARIABLE = "GANETI_HV_KVM_UNKNOWN_PARAMETERS"


def make(folder: Path, phase: str = "full") -> tuple[Any, list[Any]]:
    disks = [instance.disk(folder)]
    made = instance.instance(NAME, disks=disks, nics=[instance.nic()], moon_phase=phase)
    return made, disks


def words(hypervisor: Any) -> list[str]:
    pid = hypervisor.GetInstanceInfo(NAME)[1]
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def stored_parameters(hypervisor: Any) -> dict[str, Any]:
    return json.loads(Path(hypervisor._InstanceKVMRuntime(NAME)).read_text())[2]


def peripherals(hypervisor: Any) -> set[str]:
    with QmpConnection(hypervisor._InstanceQmpMonitor(NAME)) as qmp:
        found = qmp.execute_qmp("qom-list", {"path": "/machine/peripheral"})
    return {child["name"] for child in found} - {"type"}


def test_the_module_beside_ours_is_ganetis_own() -> None:
    own = original.load()
    assert Path(str(own.__file__)).parts[-3:] == ("hypervisor", "hv_kvm", "__init__.py")
    assert own.KVMHypervisor.__module__ == original.PRIVATE_NAME
    # its parts are its own too, though they name themselves in full
    assert own.QmpConnection.__module__ == f"{original.PRIVATE_NAME}.monitor"
    assert own.QmpConnection is not QmpConnection
    assert original.load() is own


def test_a_guest_that_does_not_use_it_is_ours(hypervisor, tmp_path):
    made, disks = make(tmp_path, phase="")
    hypervisor.StartInstance(made, disks, True)

    assert "-fw_cfg" not in words(hypervisor)
    assert stored_parameters(hypervisor)["moon_phase"] == ""
    hypervisor.HotAddDevice(made, constants.HOTPLUG_TARGET_DISK, *added(tmp_path))


def added(folder: Path) -> tuple[Any, tuple[str, None], int]:
    disk, link, uri = instance.disk(folder, 1)
    return disk, (link, uri), 1


def test_a_guest_that_uses_it_is_built_by_ganetis_own_module(hypervisor, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    made, disks = make(tmp_path)
    hypervisor.CheckParameterSyntax(made.hvparams)
    hypervisor.ValidateParameters(made.hvparams)
    hypervisor.StartInstance(made, disks, True)
    assert f"instance {NAME} uses what this version of ganeti-hv-kvm does not know" in caplog.text
    command = words(hypervisor)
    assert command[command.index("-fw_cfg") + 1] == "name=opt/org.ganeti/moon,string=full"
    assert stored_parameters(hypervisor)["moon_phase"] == "full"
    # everything that builds nothing is ours, for every guest
    assert hypervisor.ListInstances() == [NAME]
    assert hypervisor.GetAllInstancesInfo()[0][0] == NAME
    assert hypervisor.MigrationInfo(made)
    before = peripherals(hypervisor)
    disk, extra, seq = added(tmp_path)
    hypervisor.HotAddDevice(made, constants.HOTPLUG_TARGET_DISK, disk, extra, seq)
    assert len(peripherals(hypervisor) - before) == 1
    hypervisor.StopInstance(made, force=True)
    hypervisor.CleanupInstance(NAME)
    assert hypervisor.ListInstances() == []


def test_the_parameter_of_its_start_counts_too(hypervisor, tmp_path, caplog):
    """The cluster's value was changed since: the running guest is still of Ganeti's own making."""
    made, disks = make(tmp_path)
    hypervisor.StartInstance(made, disks, True)
    made.hvparams["moon_phase"] = ""
    caplog.set_level(logging.INFO)
    caplog.clear()
    disk, extra, seq = added(tmp_path)
    hypervisor.HotAddDevice(made, constants.HOTPLUG_TARGET_DISK, disk, extra, seq)
    assert "that is left to Ganeti's own KVM module" in caplog.text


def test_ganetis_own_module_is_shown_no_firmware_as_a_disk(hypervisor, tmp_path, nothing_left):
    made, disks = make(tmp_path)
    made.tags = ["hv-kvm:firmware:uefi"]
    with pytest.raises(
        errors.HypervisorError, match="'firmware' as a disk of its own: nothing was"
    ):
        hypervisor.StartInstance(made, disks, True)
    nothing_left()


def test_ganetis_own_module_knows_no_option(hypervisor, tmp_path, caplog):
    made, disks = make(tmp_path)
    made.tags = ["hv-kvm:disk-iops:100"]
    hypervisor.StartInstance(made, disks, True)
    assert "without an option of its tags: Ganeti's own KVM module, which builds" in caplog.text


def test_values_are_checked_by_who_knows_them(hypervisor, tmp_path):
    made, _ = make(tmp_path, phase="half")
    with pytest.raises(errors.HypervisorError, match="moon_phase"):
        hypervisor.CheckParameterSyntax(made.hvparams)


def test_refused_where_the_operator_wants_that(hypervisor, tmp_path, monkeypatch, nothing_left):
    monkeypatch.setenv(VARIABLE, "refuse")
    made, disks = make(tmp_path)
    for call in (
        lambda: hypervisor.StartInstance(made, disks, False),
        lambda: hypervisor.CheckParameterSyntax(made.hvparams),
    ):
        with pytest.raises(errors.HypervisorError, match=r"moon_phase=full.*nothing was done"):
            call()
    nothing_left()


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("delegate", "guests that use it are started by Ganeti's own KVM module"),
        ("refuse", "guests that use it are not started"),
    ],
)
def test_verify_says_what_is_done(hypervisor, monkeypatch, value, says):
    monkeypatch.setenv(VARIABLE, value)
    problems = hypervisor.Verify({constants.HV_KVM_PATH: "/usr/bin/qemu-system-x86_64"})
    assert "does not know moon_phase" in problems
    assert says in problems


def test_a_slip_in_the_environment_starts_nothing(hypervisor, tmp_path, monkeypatch, nothing_left):
    monkeypatch.setenv(VARIABLE, "refuze")
    made, disks = make(tmp_path)
    with pytest.raises(errors.HypervisorError, match=f"Nothing was done: {VARIABLE} is 'refuze'"):
        hypervisor.StartInstance(made, disks, True)
    nothing_left()


def test_a_slip_in_the_file_delegates(hypervisor, tmp_path, caplog):
    file = Path(settings_file.PATH)
    file.write_text("[hv-kvm]\nunknown_parameters = refuze\n")
    try:
        made, disks = make(tmp_path)
        hypervisor.StartInstance(made, disks, True)
    finally:
        file.unlink()
    assert "line 2: unknown_parameters is 'refuze'" in caplog.text
    assert "-fw_cfg" in words(hypervisor)
