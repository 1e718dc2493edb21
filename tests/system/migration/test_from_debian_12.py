"""Guests of QEMU 7.2, started by Ganeti 3.0 or 3.1, come to ours under 3.1 with QEMU 10.

Their hardware is what they were born with: each IDE disk and CD-ROM drive at its place.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import migrants, node, paths, two_nodes
from harness.migrants import ONE_PASS

pytestmark = [pytest.mark.migration, pytest.mark.rather_3_1, pytest.mark.one_in(4)]

_DEVICE = re.compile(r"dev: (ide-\S+), id")
_BUS = re.compile(r"bus: (\S+)")
_SERIAL = re.compile(r'serial = "(QM\d+)"')

_OURS_30, _OURS_31 = ("3.0", node.OURS), ("3.1", node.OURS)
_THEIRS_30, _THEIRS_31 = ("3.0", node.ORIGINAL), ("3.1", node.ORIGINAL)
#: Generation and module, CD-ROM drives, disks: as far as QEMU has room for them.
FULL = [(0, 1), (0, 2), (1, 1), (2, 1), (2, 2), (0, 4)]
CASES = [
    *((*origin, *wanted) for origin in (_OURS_30, _THEIRS_30, _OURS_31) for wanted in FULL),
    (*_THEIRS_31, 1, 1),
]


class Upgrade(two_nodes.Pair):
    """The target has QEMU 10 at the path where the source has 7.2."""

    def information(self, wanted: two_nodes.Wanted) -> str:
        return super().information(wanted).replace(f'"{paths.QEMU}"', f'"{paths.QEMU_10}"')


def hardware(remote: two_nodes.RemoteNode, name: str) -> list[tuple[str, str, str]]:
    """What the guest has on its IDE buses: the bus, the kind and the serial number, by place."""
    line = "info qtree"
    tree = remote.qemu(name, "human-monitor-command", **{"command-line": line})
    found, bus, kind = [], "", ""
    for line in tree.splitlines():
        if match := _BUS.search(line):
            bus = match[1]
        elif match := _DEVICE.search(line):
            kind = match[1]
        elif kind and (match := _SERIAL.search(line)):
            found.append((bus, kind, match[1]))
            kind = ""
    return sorted(found)


def wish(folder: Path, cdroms: int, disks: int, **more: Any) -> dict[str, Any]:
    """An instance with so many IDE devices."""
    image = folder / "cd.iso"
    image.write_bytes(b"disc".ljust(1 << 20, b"\0"))
    images = dict.fromkeys(("cdrom_image_path", "cdrom2_image_path")[:cdroms], str(image))
    return {
        "disk_type": "ide",
        "cdrom_disk_type": "ide",
        "disk_folder": str(folder),
        "disk_count": disks,
        **images,
        **ONE_PASS,
        **more,
    }


@pytest.fixture
def nodes(bridge: str) -> Iterator[Callable[[str, str], Upgrade]]:
    """Makes a node of a generation and module, and one with ours under 3.1 to go to."""
    assert bridge
    with contextlib.ExitStack() as stack:

        def start(generation: str, module: str) -> Upgrade:
            made = two_nodes.pair((generation, module), ("3.1", node.OURS))
            pair = stack.enter_context(made)
            return Upgrade(pair.source, pair.target)

        yield start


@pytest.mark.parametrize(("generation", "module", "cdroms", "disks"), CASES)
def test_ide_devices_stay_at_their_places(nodes, make, tmp_path, generation, module, cdroms, disks):
    made = nodes(generation, module)
    guest = make(made, **wish(tmp_path, cdroms, disks))
    before = hardware(made.source, guest["name"])
    made.migrate(guest)
    assert made.run_states(guest["name"]) == ("gone", "running")
    assert hardware(made.target, guest["name"]) == before
    assert len([kind for _, kind, _ in before if kind == "ide-hd"]) == disks


def test_a_guest_of_which_nobody_knows_where_its_disks_are(nodes, make, tmp_path):
    made = nodes("3.1", node.ORIGINAL)
    guest = make(made, **wish(tmp_path, 0, 1))
    _, why = made.try_accept(guest)
    assert "nobody knows at which places of its IDE buses" in why
    assert made.run_states(guest["name"]) == ("running", "gone")
    assert made.target.files() == []


@pytest.mark.parametrize("module", [node.ORIGINAL, node.OURS])
def test_the_guest_reads_and_writes_the_disk_that_it_had(nodes, make, tmp_path, module):
    made = nodes("3.0", module)
    guest = make(made, **wish(tmp_path, 1, 2, memory=128))
    with migrants.serial(made.source, guest) as console:
        console.wait_for(lambda line: "sdb:16MiB" in line, 120)
        console.send("for d in a b; do echo mark-$d | dd of=/dev/sd$d bs=512 conv=fsync; done")
        console.send("echo wrote $(cat /dev/sda | head -c 6) $(cat /dev/sdb | head -c 6)")
        console.wait_for(lambda line: "wrote mark-a mark-b" in line, 60)
    made.migrate(guest)
    with migrants.serial(made.target, guest) as console:
        console.send(
            "for d in a b; do dd if=/dev/sd$d of=/tmp$d bs=512 count=1 iflag=direct;"
            " echo more-$d | dd of=/dev/sd$d bs=512 seek=8 conv=fsync; done"
        )
        console.send("echo read $(head -c 6 /tmpa) $(head -c 6 /tmpb)")
        console.wait_for(lambda line: "read mark-a mark-b" in line, 60)
    # Which of them is sda is decided at each boot anew: they are on two channels.
    contents = [(tmp_path / f"disk{number}.img").read_bytes() for number in range(2)]
    ends = sorted((one[:7].decode(), one[4096:4103].decode()) for one in contents)
    assert ends == [("mark-a\n", "more-a\n"), ("mark-b\n", "more-b\n")]


@pytest.mark.parametrize("generation", ["3.0", "3.1"])
def test_an_alias_of_a_machine(nodes, make, generation):
    made = nodes(generation, node.OURS)
    guest = make(made, machine_version="pc", **ONE_PASS)
    made.migrate(guest)
    assert made.run_states(guest["name"]) == ("gone", "running")
    kind = made.target.qemu(guest["name"], "qom-get", path="/machine", property="type")
    assert kind == "pc-i440fx-7.2-machine"


@pytest.mark.parametrize("module", [node.ORIGINAL, node.OURS])
def test_a_guest_without_acpi(nodes, make, module):
    made = nodes("3.0", module)
    guest = make(made, acpi=False, **ONE_PASS)
    made.migrate(guest)
    assert made.run_states(guest["name"]) == ("gone", "running")
    off = made.target.qemu(guest["name"], "qom-get", path="/machine", property="acpi")
    assert off == "off"


def test_another_device_than_the_guest_has(nodes, make):
    """Fault: QEMU finds it when all memory is sent, and names a section."""
    made = nodes("3.0", node.OURS)
    guest = make(made, nics=1, nic_type="e1000", **ONE_PASS)
    info = made.information(guest).replace('"driver": "e1000"', '"driver": "rtl8139"')
    with pytest.raises(two_nodes.RemoteError) as refusal:
        made.target.call("AcceptInstance", guest, info, made.address)
    assert refusal.value.is_hypervisor_error
    assert "it has '8086:100e nic-" in str(refusal.value)
    assert "here would be '10ec:8139 nic-" in str(refusal.value)
    assert made.run_states(guest["name"]) == ("running", "gone")
    assert made.target.files() == []


def test_a_machine_that_the_target_lacks(nodes, make):
    made = nodes("3.0", node.OURS)
    guest = make(made, machine_version="pc-i440fx-2.1", **ONE_PASS)
    _, why = made.try_accept(guest)
    assert "has no machine type pc-i440fx-2.1" in why
    assert "was not accepted, and runs on where it is" in why
    assert made.run_states(guest["name"]) == ("running", "gone")
    assert made.target.files() == []
