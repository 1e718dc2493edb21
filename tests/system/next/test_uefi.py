"""Guests with UEFI firmware on a disk of theirs: Debian's OVMF on a pc and a q35."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm import QmpConnection
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime
from harness import firmware_disk, instance, migrants, node, paths, two_nodes
from harness.console import SerialConsole
from harness.each_qemu import each_qemu
from system.migration.conftest import make, qemu

__all__ = ["make", "qemu"]

NAME = "uefi1.example.com"
DISK = constants.HOTPLUG_TARGET_DISK
#: Seconds; emulated firmware on a busy machine.
BOOT = 400.0
VENDOR = "12345678-1234-1234-1234-123456789abc"
EFIVARS = "/sys/firmware/efi/efivars"
EACH_QEMU = each_qemu("binary", indirect=False)
KERNEL = {"boot_type": "direct_kernel_efi"}
NO_KERNEL = {"boot_type": "uefi"}
CONFINED = {"use_chroot": True, "security_model": "user", "security_domain": "nobody"}


def made_of(disks: list[Any], **parameters: Any) -> Any:
    return instance.instance(NAME, disks=disks, memory=256, **{**NO_KERNEL, **parameters})


def ask(hypervisor: Any, command: str, **arguments: Any) -> Any:
    with QmpConnection(hypervisor._InstanceQmpMonitor(NAME)) as connected:
        return connected.execute_qmp(command, arguments or None)


def flash(hypervisor: Any) -> dict[str, tuple[str, int]]:
    """Node name -> file and offset of each flash chip, as QEMU has it."""
    nodes = {one["node-name"]: one["file"] for one in ask(hypervisor, "query-named-block-nodes")}
    opened = {
        name: json.loads(nodes[name].removeprefix("json:")) for name in ("ovmf-code", "ovmf-vars")
    }
    return {name: (one["file"]["filename"], one["offset"]) for name, one in opened.items()}


# What is typed comes back as an echo; the quotes keep it from being taken for the answer.
READ = f"echo it' 'is: $(tail -c +5 {EFIVARS}/Ganeti-{VENDOR})"


def keep(name: str, value: str) -> str:
    """The guest's command to have a variable kept."""
    file = f"{EFIVARS}/{name}-{VENDOR}"
    return f"printf '\\007\\000\\000\\000{value}' >{file} && echo wrote' 'it"


def line_of(serial: SerialConsole, text: str, timeout: float = BOOT) -> str:
    return serial.wait_for(lambda line: text in line, timeout)


def write_variable(serial: SerialConsole, value: str) -> None:
    """Our guest has the kernel ask the firmware to keep a variable."""
    line_of(serial, "guest: up")
    serial.send(f"insmod /modules/efivarfs; mount -t efivarfs none {EFIVARS}")
    serial.send(keep("Ganeti", value))
    line_of(serial, "wrote it")


def read_variable(serial: SerialConsole) -> str:
    line_of(serial, "guest: up")
    serial.send(f"insmod /modules/efivarfs; mount -t efivarfs none {EFIVARS}")
    serial.send(READ)
    return line_of(serial, "it is:").partition("it is: ")[2]


def check_confined(hypervisor: Any) -> None:
    process = Path("/proc", str(hypervisor.GetInstanceInfo(NAME)[1]))
    assert process.stat().st_uid == pwd.getpwnam("nobody").pw_uid
    assert os.readlink(process / "root") == hypervisor._InstanceChrootDir(NAME)


def test_a_kernel_by_firmware_keeps_its_variables_over_a_reboot(hypervisor, tmp_path):
    data, firmware = instance.disk(tmp_path), firmware_disk.disk(tmp_path)
    disks = [firmware, data]  # the first of Ganeti's disks, and none of the guest's
    made = made_of(disks, **KERNEL, **CONFINED)
    hypervisor.StartInstance(made, disks, False)
    check_confined(hypervisor)
    with SerialConsole(hypervisor._InstanceSerial(NAME)) as serial:
        assert "disks vda:16MiB," in line_of(serial, "guest: up")
        write_variable(serial, "first")
    assert firmware_disk.has_variable(firmware[1], "Ganeti", b"first")
    before = hypervisor.GetInstanceInfo(NAME)[1]
    hypervisor.RebootInstance(made)
    assert hypervisor.GetInstanceInfo(NAME)[1] != before
    check_confined(hypervisor)
    with SerialConsole(hypervisor._InstanceSerial(NAME)) as serial:
        assert read_variable(serial) == "first"
    assert firmware_disk.region(firmware[1], "code") == (
        (firmware_disk.OVMF / firmware_disk.PLAIN[0]).read_bytes()
    )


def test_secure_boot_on_a_q35(hypervisor, tmp_path):
    """The firmware runs, in SMM: it writes its variables, which nobody else may."""
    firmware = firmware_disk.disk(tmp_path, templates=firmware_disk.SECURE)
    disks = [instance.disk(tmp_path), firmware]
    made = made_of(disks, machine_version="q35", kvm_path=str(paths.QEMU_10))
    fresh = firmware_disk.region(firmware[1], "vars")
    hypervisor.StartInstance(made, disks, False)
    assert ask(hypervisor, "qom-get", path="/machine", property="smm") == "on"
    chips = ask(hypervisor, "qom-list", path="/machine/unattached")
    found = [f"/machine/{chip}" for chip in ("system.flash0", "system.flash1")]
    assert [ask(hypervisor, "qom-get", path=chip, property="secure") for chip in found] == [
        True,
        True,
    ], chips
    # Microsoft's keys are there from the start
    migrants.wait_until(
        lambda: firmware_disk.region(firmware[1], "vars") != fresh, BOOT, "a variable"
    )


def test_code_for_smm_is_refused_on_a_pc(hypervisor, tmp_path, nothing_left):
    disks = [firmware_disk.disk(tmp_path, templates=firmware_disk.SECURE)]
    with pytest.raises(errors.HypervisorError, match=r"which machine pc-i440fx-.* cannot have"):
        hypervisor.StartInstance(made_of(disks), disks, False)
    nothing_left()


@EACH_QEMU
@pytest.mark.parametrize("machine", ["pc", "q35"])
@pytest.mark.parametrize("kind", ["paravirtual", pytest.param("scsi-hd", marks=pytest.mark.long)])
def test_data_disks_come_and_go_beside_it(hypervisor, tmp_path, binary, machine, kind):
    firmware = firmware_disk.disk(tmp_path)
    disks = [instance.disk(tmp_path), firmware]
    made = made_of(disks, kvm_path=binary, machine_version=machine, disk_type=kind, disk_iops=50)
    hypervisor.StartInstance(made, disks, True)
    assert flash(hypervisor) == {
        "ovmf-code": (firmware[1], 1 << 20),
        "ovmf-vars": (firmware[1], 3 << 20),
    }
    new, link, uri = instance.disk(tmp_path, 2)
    hypervisor.HotAddDevice(made, DISK, new, (link, uri), 2)
    stored = KVMRuntime.from_serialized(hypervisor._ReadKVMRuntime(NAME))
    assert [disk.role for disk, _, _ in stored.kvm_disks] == [None, "firmware", None]
    assert not stored.kvm_disks[1][0].hvinfo
    assert {disk.hvinfo["id"] for disk, _, _ in stored.kvm_disks if not disk.role} <= {
        device["name"] for device in ask(hypervisor, "qom-list", path="/machine/peripheral")
    }
    for change in (
        lambda: hypervisor.HotAddDevice(made, DISK, *firmware[:1], firmware[1:], 3),
        lambda: hypervisor.HotDelDevice(made, DISK, firmware[0], None, 1),
        lambda: hypervisor.ResizeDisk(made, firmware[0], 64 << 20),
    ):
        with pytest.raises(errors.HotplugError, match="holds the guest's UEFI firmware"):
            change()


def test_upstreams_words_are_stored(hypervisor, tmp_path):
    disks = [firmware_disk.disk(tmp_path)]
    hypervisor.StartInstance(made_of(disks), disks, True)
    command = KVMRuntime.from_serialized(hypervisor._ReadKVMRuntime(NAME)).kvm_cmd
    blocks = [command[at + 1] for at, word in enumerate(command) if word == "-blockdev"]
    assert blocks == [
        "driver=raw,node-name=ovmf-code,read-only=on,file.driver=host_device,"
        f"file.filename=/dev/mapper/{NAME}-ovmf-code",
        "driver=raw,node-name=ovmf-vars,file.driver=host_device,"
        f"file.filename=/dev/mapper/{NAME}-ovmf-vars",
    ]
    assert command.index("-blockdev") < command.index("-machine")
    assert command[command.index("-machine") + 1].endswith("pflash0=ovmf-code,pflash1=ovmf-vars")


@EACH_QEMU
def test_another_user_in_a_chroot(hypervisor, tmp_path, binary):
    disks = [instance.disk(tmp_path), firmware_disk.disk(tmp_path)]
    made = made_of(disks, kvm_path=binary, **CONFINED)
    hypervisor.StartInstance(made, disks, True)
    check_confined(hypervisor)
    hypervisor.StopInstance(made, force=True)
    hypervisor.CleanupInstance(NAME)


def without(disks: list[Any]) -> list[Any]:
    return disks[:1]


def over_the_network(disks: list[Any]) -> list[Any]:
    disks[1][0].params = {constants.LDP_ACCESS: constants.DISK_USERSPACE}
    return disks


def damaged(disks: list[Any]) -> list[Any]:
    with open(disks[1][1], "r+b") as image:
        image.write(b"something else")
    return disks


def cut_off(disks: list[Any]) -> list[Any]:
    os.truncate(disks[1][1], 2 << 20)
    return disks


SPOILED = pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (without, "none of its disks has the role firmware"),
        (over_the_network, "over the network"),
        (damaged, "begins with b'somethin'"),
        (cut_off, "its regions end at"),
    ],
)


@SPOILED
def test_no_start_without_it(hypervisor, tmp_path, spoil, says, nothing_left):
    disks = spoil([instance.disk(tmp_path), firmware_disk.disk(tmp_path)])
    with pytest.raises(errors.HypervisorError, match=says):
        hypervisor.StartInstance(made_of(disks), disks, False)
    nothing_left()


@SPOILED
def test_a_reboot_that_would_lack_it_leaves_the_guest_running(hypervisor, tmp_path, spoil, says):
    disks = [instance.disk(tmp_path), firmware_disk.disk(tmp_path)]
    made = made_of(disks)
    hypervisor.StartInstance(made, disks, True)
    pid = hypervisor.GetInstanceInfo(NAME)[1]
    runtime = KVMRuntime.from_serialized(hypervisor._ReadKVMRuntime(NAME))
    runtime.kvm_disks[:] = spoil(runtime.kvm_disks)
    hypervisor._SaveKVMRuntime(made, runtime)
    with pytest.raises(errors.HypervisorError, match=f"still runs, as .*{says}"):
        hypervisor.RebootInstance(made)
    assert hypervisor.GetInstanceInfo(NAME)[1] == pid


@pytest.fixture(scope="module")
def nodes(bridge: str) -> Iterator[two_nodes.Pair]:
    with two_nodes.pair(("next", node.OURS), ("next", node.OURS)) as made:
        yield made


@pytest.mark.parametrize(
    ("qemu", "machine"),
    [pytest.param(paths.QEMU, "pc", marks=pytest.mark.long), (paths.QEMU_10, "q35")],
    ids=["7.2-pc", "10.0-q35"],
    indirect=["qemu"],
)
def test_it_moves_to_another_node_and_back(nodes, make, tmp_path, machine):
    wanted = make(nodes, disk_folder=str(tmp_path), machine_version=machine, **NO_KERNEL)
    for pair in (nodes, nodes.reversed()):
        pair.migrate(wanted)
        assert pair.run_states(wanted["name"]) == ("gone", "running")
    nodes.source.call("AddDisk", wanted, 2)


@pytest.mark.long
def test_its_variables_move_with_it(nodes, make, tmp_path):
    wanted = make(
        nodes, disk_folder=str(tmp_path), **{**KERNEL, **migrants.ONE_PASS, "memory": 256}
    )
    with migrants.serial(nodes.source, wanted) as serial:
        write_variable(serial, "here")
    nodes.migrate(wanted)
    with migrants.serial(nodes.target, wanted) as serial:
        line_of(serial, "guest: up")
        serial.send(READ)
        assert line_of(serial, "it is:").endswith("it is: here")
        # another one: the kernel makes those that are there immutable
        serial.send(keep("Moved", "there"))
        line_of(serial, "wrote it")
    assert firmware_disk.has_variable(tmp_path / "firmware.img", "Moved", b"there")
