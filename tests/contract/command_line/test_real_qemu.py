"""The real QEMU accepts our command lines, also where it refuses the original's."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from contract.command_line.comparison import results
from harness import paths

pytestmark = [pytest.mark.qemu, pytest.mark.one_in(2)]

# What one machine cannot have at every run of a test, and its value.
_LEFT_OUT = ("-pidfile", "-D", "-monitor", "-serial", "-qmp", "-k")
_COMMANDS = '{"execute": "qmp_capabilities"} {"execute": "quit"}'

# (Ganeti, difference, case): the original's is refused by QEMU 7.2, ours is not.
REFUSED = [
    ("3.0", "sound", "soundhw=ac97"),
    ("3.0", "floppy-boot", "boot_order=floppy"),
    ("3.0", "scsi-cdrom", "cdrom_disk_type=scsi-cd"),
    ("3.0", "scsi-cdrom", "two CD-ROMs scsi-cd, disks scsi-hd, lsi"),
    ("3.1", "scsi-cdrom-target", "two CD-ROMs scsi-cd, disks scsi-hd, lsi"),
    ("3.1", "disk-aio-unset", "disk_aio="),
    ("3.0", "isa-nic", "nic_type=ne2k_isa"),
    ("3.1", "isa-nic", "nic_type=ne2k_isa"),
    ("3.0", "q35", "q35"),
    ("3.1", "q35", "q35"),
    ("3.0", "empty-words", "kvm_extra= -no-hpet  -snapshot "),
    ("3.0", "usb-list", "usb_devices=tablet,,mouse,"),
    ("3.1", "usb-list", "usb_devices=tablet,,mouse,"),
    ("3.0", "comma", "commas in images"),
    ("3.1", "comma", "commas in images"),
    ("3.0", "incoming-ipv6", "incoming over IPv6 here"),
    ("3.1", "incoming-ipv6", "incoming over IPv6 here"),
    ("3.1", "discard-default", "started by 3.0"),
]

# Parameters of which QEMU 7.2 takes each value here.
ACCEPTED = (
    "acpi",
    "boot_order",
    "cpu_cores",
    "cpu_sockets",
    "cpu_type",
    "disk_aio",
    "disk_cache",
    "disk_discard",
    "nic_type",
    "reboot_behavior",
    "scsi_controller_type",
    "usb_devices",
    "usb_mouse",
    "use_guest_agent",
    "use_localtime",
)
# A host's own CPU needs KVM.
NOT_HERE = {"cpu_type=host"}


def _for_here(argv: list[str], folder: Path) -> list[str]:
    """The command line with files of this test and without a process of its own."""
    argv = [word for word in argv if word != "-daemonize"]
    words, skip = [str(paths.QEMU)], False
    for word in argv[1:]:
        if skip or word in _LEFT_OUT:
            skip = not skip
            continue
        word = re.sub(r"^type=tap,(id=[^,]+),fd=.*", r"user,\1", word)
        word = word.replace("file.driver=host_device", "file.driver=file")
        word = re.sub(r"path=[^,]*/ctrl/[^,]*", f"path={folder}/socket", word)
        words.append(re.sub(r"/srv/|/var/run/ganeti/instance-disks/", f"{folder}/", word))
    return [*words, "-qmp", "stdio", *(() if "-S" in words else ("-S",))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "first.iso",
        "second.iso",
        "floppy.img",
        "a,b.iso",
        "c,d.img",
        "web1.example.com:0",
    ):
        (tmp_path / name).write_bytes(bytes(1474560))
    return tmp_path


def _run(argv: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    # The two CD-ROMs of some cases lie in the root folder.
    argv = [re.sub(r"=/([ab]\.iso)", f"={folder}/first.iso", word) for word in argv]
    return subprocess.run(
        _for_here(argv, folder),
        input=_COMMANDS,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _case(ganeti: str, name: str) -> tuple[Any, Any]:
    found = [row for row in results(ganeti, "7.2") if row[0]["id"] == name]
    assert len(found) == 1, f"no case {name!r}"
    return found[0][1:]


@pytest.mark.parametrize(("ganeti", "difference", "name"), REFUSED)
def test_qemu_refuses_the_originals(ganeti: str, difference: str, name: str, folder: Path) -> None:
    theirs, mine = _case(ganeti, name)
    refused, accepted = _run(theirs["argv"], folder), _run(mine["argv"], folder)

    assert refused.returncode != 0, f"QEMU takes the original's words: {difference} is not needed"
    assert accepted.returncode == 0, accepted.stderr


@pytest.mark.parametrize("ganeti", ["3.0", "3.1"])
@pytest.mark.parametrize("parameter", ACCEPTED)
def test_qemu_accepts_every_value(ganeti: str, parameter: str, folder: Path) -> None:
    rows = [row for row in results(ganeti, "7.2") if row[0]["id"].startswith(f"{parameter}=")]
    assert rows
    for case, _, mine in rows:
        if case["id"] not in NOT_HERE:
            done = _run(mine["argv"], folder)
            assert done.returncode == 0, f"{case['id']}: {done.stderr}"


def test_passthrough_devices_have_no_write_cache() -> None:
    # A real SCSI device would be needed to start with one; QEMU tells the properties without.
    for driver, has_cache in (("scsi-hd", True), ("scsi-block", False), ("scsi-generic", False)):
        done = subprocess.run(
            [str(paths.QEMU), "-device", f"{driver},help"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert ("write-cache" in done.stdout) == has_cache, driver
