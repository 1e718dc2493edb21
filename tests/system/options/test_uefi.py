"""UEFI by tag, on Ganetis that have no parameter for it: guests boot by it, and move.

All of it takes minutes: `make test-uefi`. What is refused, and what becomes of the disk, is in
test_uefi_disk.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ganeti import constants

from harness import efi_disk, firmware_disk, instance, migrants, node, two_nodes
from harness.console import SerialConsole
from harness.uefi_by_tag import (
    BOOT,
    GENERATION,
    NAME,
    NO_KERNEL,
    TAG,
    booted,
    keep,
    kept,
    made_of,
    stored,
)
from system.migration.conftest import generation, make, qemu

__all__ = ["generation", "make", "qemu"]

pytestmark = pytest.mark.long
DISK = constants.HOTPLUG_TARGET_DISK
CONFINED = {"use_chroot": True, "security_model": "user", "security_domain": "nobody"}


@pytest.mark.timeout(3600)
def test_a_guest_boots_by_it_and_keeps_its_variables_over_a_reboot(hypervisor, tmp_path):
    # the first of Ganeti's disks, and none of the guest's
    disks = [firmware_disk.named(tmp_path), instance.disk(tmp_path)]
    efi_disk.write(Path(disks[1][1]))
    made = made_of(disks, **CONFINED)
    hypervisor.StartInstance(made, disks, False)
    with SerialConsole(hypervisor._InstanceSerial(NAME)) as serial:
        assert "disks vda:64MiB," in booted(serial)
        keep(serial, "Ganeti", "first")
        new, link, uri = instance.disk(tmp_path, 2)
        hypervisor.HotAddDevice(made, DISK, new, (link, uri), 2)
        serial.wait_for(lambda line: "disks vda:64MiB vdb:16MiB," in line, BOOT)
        hypervisor.HotDelDevice(made, DISK, new, None, 2)
        serial.wait_for(lambda line: "disks vda:64MiB," in line, BOOT)
    assert [disk.name for disk, _, _ in stored(hypervisor).kvm_disks] == ["firmware", None]
    assert firmware_disk.has_variable(disks[0][1], "Ganeti", b"first")
    before = hypervisor.GetInstanceInfo(NAME)[1]
    hypervisor.RebootInstance(made)
    assert hypervisor.GetInstanceInfo(NAME)[1] != before
    with SerialConsole(hypervisor._InstanceSerial(NAME)) as serial:
        assert "disks vda:64MiB," in booted(serial)
        assert kept(serial, "Ganeti") == "first"
    hypervisor.StopInstance(made, force=True)
    hypervisor.CleanupInstance(NAME)
    # a cold start seeds nothing anew
    hypervisor.StartInstance(made_of(disks), disks, False)
    with SerialConsole(hypervisor._InstanceSerial(NAME)) as serial:
        booted(serial)
        assert kept(serial, "Ganeti") == "first"


@pytest.fixture(scope="module")
def nodes(bridge: str) -> Iterator[two_nodes.Pair]:
    ours = (GENERATION, node.OURS)
    with two_nodes.pair(ours, ours) as both:
        yield both


def tagged(folder: Path, **parameters: Any) -> dict[str, Any]:
    return {
        "disk_folder": str(folder),
        "tags": [TAG],
        "memory": 256,
        **NO_KERNEL,
        **migrants.ONE_PASS,
        **parameters,
    }


@pytest.mark.timeout(3600)
def test_its_variables_move_with_it_and_back(nodes, make, tmp_path):
    efi_disk.write(tmp_path / "disk0.img")
    wanted = make(nodes, **tagged(tmp_path))
    with migrants.serial(nodes.source, wanted) as serial:
        booted(serial)
        keep(serial, "Here", "one")
    for number, pair in enumerate((nodes, nodes.reversed())):
        pair.migrate(wanted)
        assert pair.run_states(wanted["name"]) == ("gone", "running")
        with migrants.serial(pair.target, wanted) as serial:
            serial.wait_for(lambda line: "guest: up" in line, BOOT)
            assert kept(serial, "Here") == "one"
            keep(serial, f"There{number}", "two")
        assert firmware_disk.has_variable(tmp_path / "disk99.img", f"There{number}", b"two")
    nodes.source.call("AddDisk", wanted, 2)


@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_each_machine_moves(nodes, make, tmp_path, machine):
    wanted = make(nodes, **tagged(tmp_path, machine_version=machine, disk_count=2))
    nodes.migrate(wanted)
    assert nodes.run_states(wanted["name"]) == ("gone", "running")
    wanted["tags"] = ["hv-kvm:firmware:bios", "hv-kvm:firmwares:uefi"]
    nodes.reversed().migrate(wanted)
    assert nodes.run_states(wanted["name"]) == ("running", "gone")
    assert "firmware may be uefi" in nodes.source.log


@pytest.fixture
def mixed(bridge: str) -> Iterator[two_nodes.Pair]:
    with two_nodes.pair((GENERATION, node.OURS), (GENERATION, node.ORIGINAL)) as both:
        yield both


def test_ganetis_own_module_refuses_it_untouched(mixed, make, tmp_path):
    """It knows of no firmware: the guest stays, rather than begin there without it."""
    wanted = make(mixed, **tagged(tmp_path))
    with pytest.raises(two_nodes.RemoteError):
        mixed.accept(wanted)
    assert mixed.run_states(wanted["name"]) == ("running", "gone")
