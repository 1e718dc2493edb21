"""Whole command lines, as people would read them: tests/data/command_line/NAME.DIALECT.args.

One switch a line, quoted as for a shell. HV_KVM_WRITE_GOLDEN=1 writes them anew; read the diff.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable

import pytest

from ganeti_hv_kvm.hv_kvm.command_line import Display
from ganeti_hv_kvm.hv_kvm.ganeti import generation
from ganeti_hv_kvm.hv_kvm.ganeti.generation import Dialect
from harness import paths
from unit.hv_kvm.command_line import samples

GOLDEN = paths.PROJECT / "tests/data/command_line"
Make = Callable[[Dialect], list[str]]


def plain(dialect: Dialect) -> list[str]:
    return samples.whole(samples.instance(nics=1), [samples.disk()], dialect)


def kernel(dialect: Dialect) -> list[str]:
    made = samples.instance(
        kernel_path="/boot/vmlinuz",
        initrd_path="/boot/initrd",
        kvm_flag="enabled",
        security_model="pool",
        use_chroot=True,
        mem_path="/dev/hugepages",
    )
    return samples.whole(made, [samples.disk("sharedfile")], dialect, pool_user="kvm7")


def installation(dialect: Dialect) -> list[str]:
    made = samples.instance(
        nics=1,
        boot_order="cdrom",
        cdrom_image_path="/srv/windows, English.iso",
        cdrom2_image_path="https://images.example.com/virtio.iso",
        cdrom_disk_type="ide",
        disk_type="ide",
        floppy_image_path="/srv/drivers.img",
        nic_type="e1000",
        acpi=False,
        use_localtime=True,
        soundhw="hda",
        keymap="de",
        vnc_bind_address="0.0.0.0",
        vnc_tls=True,
        vnc_x509_path="/etc/vnc",
        vnc_x509_verify=True,
        vnc_password_file="/etc/vnc.password",
    )
    display = Display(vnc="0.0.0.0")
    facts = samples.facts("10.0")
    return samples.whole(made, [samples.disk("drbd")], dialect, display=display, facts=facts)


def desktop(dialect: Dialect) -> list[str]:
    made = samples.instance(
        nics=1,
        spice_bind="eth0",
        spice_use_tls=True,
        spice_password_file="/etc/spice.password",
        spice_image_compression="auto_glz",
        spice_jpeg_wan_compression="never",
        spice_streaming_video="filter",
        spice_playback_compression=False,
        use_guest_agent=True,
        usb_mouse="tablet",
        usb_devices="keyboard,mouse",
        cpu_type="host,+vmx",
        cpu_cores=2,
    )
    display = Display(spice="2001:db8::1", spice_ip_version=6)
    return samples.whole(made, [samples.disk("file")], dialect, display=display)


def storage_server(dialect: Dialect) -> list[str]:
    made = samples.instance(
        nics=2,
        disk_type="scsi-hd",
        scsi_controller_type="virtio-scsi-pci",
        cdrom_image_path="/srv/rescue.iso",
        cdrom_disk_type="scsi-cd",
        disk_aio="native",
        disk_cache="none",
        disk_discard="unmap",
        vhost_net=True,
        virtio_net_queues=4,
        kvm_extra="-smbios type=1,serial=7",
    )
    disks = [
        samples.disk("rbd", "rbd:vm-pool/disk.0"),
        samples.disk("gluster", "gluster://192.0.2.1:24007/volume/disk1", seq=1),
    ]
    return samples.whole(made, disks, dialect, fds=4, vhost=True)


def migration_target(dialect: Dialect) -> list[str]:
    made = samples.instance(
        nics=1, security_model="user", security_domain="nobody", use_chroot=True
    )
    facts = samples.facts("10.0")
    incoming = ("2001:db8::2", 8102)
    return samples.whole(made, [samples.disk("drbd")], dialect, facts=facts, incoming=incoming)


def q35(dialect: Dialect) -> list[str]:
    made = samples.instance(
        nics=2,
        machine_version="pc-q35-7.2",
        cdrom_image_path="/srv/install.iso",
        cdrom2_image_path="/srv/drivers.iso",
        scsi_controller_type="virtio-scsi-pci",
        soundhw="hda",
        spice_bind="192.0.2.1",
        use_guest_agent=True,
        usb_mouse="tablet",
        usb_devices="keyboard,usb-ccid",
        kvm_extra="-device virtio-rng-pci",
    )
    disks = [samples.disk("file"), samples.disk("drbd", seq=1)]
    return samples.whole(made, disks, dialect, display=Display(spice="192.0.2.1"))


MAKERS: list[Make] = [
    plain,
    kernel,
    installation,
    desktop,
    storage_server,
    migration_target,
    q35,
]


def as_text(argv: list[str]) -> str:
    """One switch with its value a line."""
    lines: list[str] = []
    for word in argv:
        quoted = shlex.quote(word)
        if word.startswith("-") or not lines or " " in lines[-1] or lines[-1][0] != "-":
            lines.append(quoted)
        else:
            lines[-1] += f" {quoted}"
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("dialect", samples.DIALECTS)
@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_command_line_is_as_written(
    monkeypatch: pytest.MonkeyPatch, make: Make, dialect: str
) -> None:
    # room for more vCPUs: only where Ganeti hot-plugs them
    monkeypatch.setattr(generation, "VCPU_TARGET", None)
    argv = make(samples.DIALECTS[dialect])
    file = GOLDEN / f"{make.__name__}.{dialect}.args"
    if os.environ.get("HV_KVM_WRITE_GOLDEN"):
        file.write_text(as_text(argv))

    assert shlex.split(file.read_text()) == argv
