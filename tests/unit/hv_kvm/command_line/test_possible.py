"""What QEMU would refuse is told before; what it takes, or may take, is not refused."""

from __future__ import annotations

from typing import Any

import pytest
from ganeti import constants

from ganeti_hv_kvm.hv_kvm.command_line import possible
from ganeti_hv_kvm.hv_kvm.qemu.facts import QemuFacts
from unit.hv_kvm.command_line import samples

QEMUS = ("7.2", "10.0")
CPUS = """Available CPUs:
  486                   (alias configured by machine type)
  qemu64                (alias configured by machine type)
x86 max                   Enables all features
Recognized CPUID flags:
  aes
"""

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"disk_type": "sd"}, "no PC has such a bus"),
    ({"disk_type": "mtd"}, "no PC has such a bus"),
    ({"disk_type": "scsi"}, "scsi-hd"),
    ({"disk_type": "pflash"}, "firmware"),
    ({"cdrom_disk_type": "sd", "cdrom_image_path": "/a.iso"}, "no PC has such a bus"),
    ({"cdrom_disk_type": "scsi", "cdrom2_image_path": "/a.iso"}, "scsi-hd"),
    ({"vga": "xenfb"}, "another kind of machine"),
    ({"vga": "toaster"}, "does not have"),
    ({"soundhw": "toaster"}, "does not have"),
    ({"soundhw": "ac97,es1370"}, "one sound card"),
    ({"soundhw": "all"}, "one sound card"),
    ({"cpu_type": "toaster,+aes"}, "no CPU"),
    ({"usb_devices": "tablet host:zz"}, "'host:zz' cannot be had"),
    ({"machine_version": "isapc"}, "no PCI bus"),
    ({"kvm_pci_reservations": 3}, "slots"),
    ({"kvm_extra": "-S -incoming defer"}, "with which QEMU runs no guest"),
    ({"kvm_extra": "--version"}, "with which QEMU runs no guest"),
    ({"migration_downtime": 2_000_001}, "QEMU takes no more than 2000000 (ms)"),
    ({"migration_bandwidth": 10**15}, "(MiB/s)"),
]
TAKEN: list[dict[str, Any]] = [
    {},
    {"disk_type": "scsi-cd"},
    {"cdrom_disk_type": "sd"},
    {"vga": "none"},
    {"kvm_extra": "-name guest=incoming,debug-threads=on -h264 -device help"},
    {"migration_downtime": 2_000_000, "migration_bandwidth": 0},
    {"vga": "std"},
    {"vga": "cirrus"},
    {"soundhw": "sb16"},
    {"soundhw": "hda"},
    {"cpu_type": "qemu64,+aes"},
    {"cpu_type": "max"},
    {"usb_devices": "tablet,keyboard host:1.1"},
    {"kvm_pci_reservations": 4},
    {"kvm_pci_reservations": 3, "vga": "none"},
    {"kvm_pci_reservations": 0, "machine_version": "q35"},
]


def facts(qemu: str) -> QemuFacts:
    known = samples.facts(qemu)
    return QemuFacts("/usr/bin/q", lambda asked: CPUS if asked == "cpulist" else known.ask(asked))


@pytest.mark.parametrize("qemu", QEMUS)
@pytest.mark.parametrize(("hvparams", "says"), REFUSED)
def test_refusals_name_parameter_and_reason(hvparams: dict[str, Any], says: str, qemu: str) -> None:
    (refusal,) = possible.refusals(hvparams, facts(qemu))

    assert refusal.startswith(next(iter(hvparams)))
    assert says in refusal


@pytest.mark.parametrize("qemu", QEMUS)
@pytest.mark.parametrize("hvparams", TAKEN)
def test_what_qemu_takes_is_not_refused(hvparams: dict[str, Any], qemu: str) -> None:
    assert list(possible.refusals(hvparams, facts(qemu))) == []


def test_the_defaults_are_not_refused() -> None:
    made = samples.instance()

    assert list(possible.refusals(made.hvparams, facts("7.2"))) == []


def test_a_qemu_that_tells_nothing_has_the_last_word() -> None:
    silent = QemuFacts("/usr/bin/q", lambda _: "")
    hvparams = {
        "vga": "qxl",
        "soundhw": "sb16",
        "cpu_type": "toaster",
        "usb_devices": "ccid u2f-passthru",
    }

    assert list(possible.refusals(hvparams, silent)) == []


@pytest.mark.skipif(not hasattr(constants, "HV_DISK_IOPS"), reason="this Ganeti has no disk_iops")
@pytest.mark.parametrize("name", ["disk_iops", "disk_bps"])
def test_a_limit_of_disks_that_qemu_refuses(name: str) -> None:
    """Fault: QEMU was launched, and ended again, as it takes no such number."""
    assert list(possible.refusals({name: 10**15}, facts("7.2"))) == []
    (refusal,) = possible.refusals({name: 10**15 + 1}, facts("7.2"))
    assert refusal.startswith(f"{name} is 1000000000000001")
