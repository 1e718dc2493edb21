"""A soft reboot looks at the whole next start first: whatever is wrong, the guest runs on."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.ganeti import generation
from harness import certificates, instance, paths

pytestmark = [pytest.mark.only_3_0, pytest.mark.one_in(2)]

NAME = "web1.example.com"

COMMAND, NICS, HVPARAMS, DISKS = range(4)


@pytest.fixture
def disks(tmp_path):
    return [instance.disk(tmp_path)]


@pytest.fixture
def made(disks):
    return instance.instance(NAME, nics=[instance.nic()], disks=disks, cpu_type="qemu64")


@pytest.fixture
def refused(hypervisor, made, disks) -> Iterator[Callable[[str], None]]:
    """A function that asserts that a reboot is refused for this reason; the guest is as it was."""
    hypervisor.StartInstance(made, disks, True)
    before = hypervisor.GetInstanceInfo(NAME)
    runtime = hypervisor._ReadKVMRuntime(NAME)

    def check(reason: str) -> None:
        with pytest.raises(errors.HypervisorError, match=rf"(?s)still runs.*{reason}"):
            hypervisor.RebootInstance(made)
        assert hypervisor.GetInstanceInfo(NAME) == before

    yield check
    Path(hypervisor._InstanceKVMRuntime(NAME)).write_text(runtime)


def change_runtime(hypervisor, change: Callable[[Any], object]) -> None:
    file = Path(hypervisor._InstanceKVMRuntime(NAME))
    runtime = json.loads(file.read_text())
    change(runtime)
    file.write_text(json.dumps(runtime))


@contextmanager
def mounted(*words: object) -> Iterator[None]:
    """Something lies over a path, in this sandbox alone; the last word is the path."""
    subprocess.run(["mount", *map(str, words)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(words[-1])], check=True)


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    with mounted("--bind", path, path):
        subprocess.run(["mount", "-o", "remount,bind,ro", path], check=True)
        yield


def _replace(option: str, value: str) -> Callable[[Any], None]:
    def change(runtime: Any) -> None:
        command = runtime[COMMAND]
        command[command.index(option) + 1] = value

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_replace("-machine", "pc-0.12"), "no machine type pc-0.12"),
        (_replace("-machine", "type=nonesuch,usb=off"), "no machine type nonesuch"),
        (_replace("-cpu", "Nonesuch-v1,+aes"), "no CPU model Nonesuch-v1"),
        (
            lambda runtime: runtime[COMMAND].extend(["-device", "qxl-of-old,id=x"]),
            "no device qxl-of-old",
        ),
        (lambda runtime: runtime[COMMAND].append("-no-such-thing"), "-no-such-thing: invalid"),
        (lambda runtime: runtime[COMMAND].extend(["-runas", "nobody-at-all"]), "-runas"),
    ],
)
def test_what_this_qemu_does_not_have(hypervisor, refused, change, reason):
    """Fault: the guest is ended, and QEMU then refuses to start it."""
    change_runtime(hypervisor, change)
    refused(reason)


@pytest.mark.parametrize("hvinfo", [{}, None, {"id": "disk-1"}, [], "x", 7])
def test_an_old_runtime_file_that_does_not_place_its_disk(hypervisor, refused, hvinfo):
    """Fault: the guest is ended; then a bare KeyError: 'driver'."""
    change_runtime(hypervisor, lambda runtime: runtime[DISKS][0][0].update(hvinfo=hvinfo))
    refused(rf"{NAME}\.runtime")


@pytest.mark.parametrize(
    "content",
    [
        *("", "{}", "[]", "null", "[1,2,3,4]", "[[],[],{}]", "[" * 100_000, "\udcff"),
        *("[[[]],[],{},[]]", "[[],[7],{},[]]", '[["qemu"],[{}],{},[]]'),
        '[["qemu"],[],{},[[{},1,null]]]',
    ],
)
def test_a_runtime_file_of_another_shape(hypervisor, made, refused, content, monkeypatch):
    monkeypatch.setenv("GANETI_HV_KVM_UNPLUG_TIMEOUT", "2")  # the guest is paused
    file = Path(hypervisor._InstanceKVMRuntime(NAME))
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    refused(rf"{NAME}\.runtime|does not describe|damaged|lacks")
    for operation in (
        lambda: hypervisor.HotAddDevice(made, "nic", instance.nic(7), None, 1),
        lambda: hypervisor.HotDelDevice(made, "nic", made.nics[0], None, 0),
        lambda: hypervisor.HotModDevice(made, "nic", made.nics[0], None, 0),
        lambda: hypervisor.ResizeDisk(made, instance.disk(file.parent, 5)[0], 1 << 25),
        lambda: hypervisor.MigrationInfo(made),
    ):
        with suppress(errors.HypervisorError):  # but for no other error
            operation()
    (file.parent / "disk5.img").unlink()


def test_a_stop_and_a_start_write_the_runtime_file_anew(hypervisor, made, disks, refused):
    """What docs/troubleshooting.md advises: gnt-instance reboot --type=hard."""
    file = Path(hypervisor._InstanceKVMRuntime(NAME))
    file.write_text("{}")
    refused("damaged")
    hypervisor.StopInstance(made, timeout=1)
    hypervisor.StopInstance(made, force=True)
    hypervisor.CleanupInstance(NAME)
    hypervisor.StartInstance(made, disks, True)
    hypervisor.RebootInstance(made)
    assert hypervisor.ListInstances() == [NAME]


def test_a_disk_that_became_read_only(disks, refused):
    with read_only(Path(disks[0][1])):
        refused(rf"disk 0: .*{disks[0][1]}")


def test_a_run_directory_that_became_read_only(hypervisor, refused):
    with read_only(Path(hypervisor._CTRL_DIR)):
        refused("read-only file system")


def test_a_run_directory_without_room(hypervisor, refused):
    with mounted("-t", "tmpfs", "-o", "size=64k", "full", hypervisor._UIDS_DIR):
        refused("is full")


def test_a_bridge_that_is_gone(hypervisor, refused):
    change_runtime(
        hypervisor, lambda runtime: runtime[NICS][0]["nicparams"].update(link="br-nonesuch")
    )
    refused("NIC 0: this node has no bridge br-nonesuch")


def test_a_network_script_that_is_gone(refused, tmp_path):
    (tmp_path / "no program").touch()
    with mounted("--bind", tmp_path / "no program", os.path.realpath(generation.NIC_SETUP_SCRIPT)):
        refused("the network script .* is not there, or no program")


def test_no_tap_device_can_be_made(refused):
    with mounted("--bind", "/dev/null", "/dev/net/tun"):
        refused(r"NIC 0")


def test_a_user_that_is_gone(made, refused):
    made.hvparams[constants.HV_SECURITY_MODEL] = constants.HT_SM_USER
    made.hvparams[constants.HV_SECURITY_DOMAIN] = "nobody-at-all"
    refused("no user nobody-at-all")


def test_a_user_who_is_root(made, refused):
    """Fault: the guest is ended; QEMU then says "Dropping privileges failed"."""
    made.hvparams[constants.HV_SECURITY_MODEL] = constants.HT_SM_USER
    made.hvparams[constants.HV_SECURITY_DOMAIN] = "root"
    refused("'root', which is root")


def test_a_keymap_that_is_gone(hypervisor, made, refused):
    change_runtime(hypervisor, lambda runtime: runtime[COMMAND].extend(["-vnc", "127.0.0.1:17"]))
    made.hvparams[constants.HV_KEYMAP] = "none-such"
    refused("keymap is 'none-such'")


@pytest.mark.parametrize(
    "words",
    [
        *(("-cdrom", "{gone}"), ("-hdb", "{gone}"), ("-fda", "{gone}"), ("-pflash", "{gone}")),
        ("-drive", "file={gone},if=none,id=more,format=raw"),
        ("-drive", "if=virtio,format=raw,file.driver=file,file.filename={gone}"),
        ("-blockdev", "driver=raw,node-name=usbdisk0,file.driver=file,file.filename={gone}"),
        ("-blockdev", '{{"driver": "file", "node-name": "more", "filename": "{gone}"}}'),
        ("-kernel", "{gone}"),
    ],
)
def test_an_image_of_kvm_extra_or_usb_devices_that_is_gone(hypervisor, refused, tmp_path, words):
    """Fault: the guest is ended, and QEMU then cannot open the image."""
    gone = tmp_path / "gone, once for all.img"
    is_raw = words[1][:2] in ("{g", "{{")
    escaped = str(gone) if is_raw else str(gone).replace(",", ",,")
    filled = [word.format(gone=escaped) for word in words]
    change_runtime(hypervisor, lambda runtime: runtime[COMMAND].extend(filled))
    refused(f"{words[0]}: .*{gone}")


def test_masks_for_the_vcpus_that_the_guest_has(hypervisor, disks):
    """Fault: with another number of vCPUs since, it could neither reboot nor migrate."""
    made = instance.instance(NAME, disks=disks, vcpus=2, cpu_mask="0:0")
    hypervisor.StartInstance(made, disks, True)
    made.beparams[constants.BE_VCPUS] = 4
    hypervisor.RebootInstance(made)
    assert hypervisor.GetInstanceInfo(NAME)[3] == 2


def test_a_mask_of_cpus_that_are_gone(hypervisor, refused):
    change_runtime(hypervisor, lambda runtime: runtime[HVPARAMS].update(cpu_mask="0,4095"))
    refused("4095")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-vnc", "192.0.2.77:17"], r"VNC on 192.0.2.77:17: .*assign"),
        (["-vnc", "[2001:db8::77]:17,password"], r"VNC on \[2001:db8::77\]:17: .*assign"),
        (["-vnc", "unix:/no/such/folder/x.vnc"], "no socket for VNC can be made"),
        (["-spice", "port=5917,addr=192.0.2.77"], r"SPICE on 192.0.2.77: .*assign"),
        (
            ["-object", "tls-creds-x509,id=t,endpoint=server,dir=/no/such,,folder"],
            "certificate or key .*'/no/such,folder/ca-cert.pem'",
        ),
        (
            ["-spice", "addr=127.0.0.1,x509-key-file=/no/key.pem"],
            "certificate or key .*'/no/key.pem'",
        ),
    ],
)
def test_a_display_that_could_not_be_shown(hypervisor, refused, arguments, reason):
    change_runtime(hypervisor, lambda runtime: runtime[COMMAND].extend(arguments))
    refused(reason)


def test_certificates_that_are_there_are_found(hypervisor, made, refused, tmp_path):
    folder = tmp_path / "tls"
    certificates.make(folder)
    words = ["-object", f"tls-creds-x509,id=t,endpoint=server,dir={folder}"]
    change_runtime(hypervisor, lambda runtime: runtime[COMMAND].extend(words))
    hypervisor.RebootInstance(made)
    assert hypervisor.ListInstances() == [NAME]


def test_what_is_looked_at_is_left_as_it_was(hypervisor, made, disks, refused, nothing_left):
    before = sorted(os.listdir("/sys/class/net"))
    change_runtime(hypervisor, _replace("-machine", "nonesuch"))
    refused("nonesuch")
    assert sorted(os.listdir("/sys/class/net")) == before
    nothing_left()
    assert paths.QEMU.exists()
