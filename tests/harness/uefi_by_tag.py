"""Guests with UEFI firmware by tag, and what they and their QEMU have of it."""

from __future__ import annotations

import os
from typing import Any

from . import instance, paths
from .console import SerialConsole

NAME = "uefi1.example.com"
#: Seconds; emulated firmware on a busy machine.
BOOT = 900.0
TAG = "hv-kvm:firmware:uefi"
GENERATION = os.environ.get("GANETI_UNDER_TEST", "3.0")
# Each Ganeti with the QEMU of its own Debian.
QEMU = str(paths.QEMU if GENERATION == "3.0" else paths.QEMU_10)
NO_KERNEL = {"kernel_path": "", "kvm_path": QEMU}
EFIVARS = "/sys/firmware/efi/efivars"
_VENDOR = "12345678-1234-1234-1234-123456789abc"
MOUNT = f"insmod /modules/efivarfs; mount -t efivarfs none {EFIVARS}"


def made_of(disks: list[Any], *tags: str, **parameters: Any) -> Any:
    made = instance.instance(NAME, disks=disks, memory=256, **{**NO_KERNEL, **parameters})
    made.tags = [TAG, *tags]
    return made


def stored(hypervisor: Any) -> Any:
    """What the runtime file has."""
    from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime

    return KVMRuntime.from_serialized(hypervisor._ReadKVMRuntime(NAME))


def variable(name: str) -> str:
    """The guest's file of a variable."""
    return f"{EFIVARS}/{name}-{_VENDOR}"


def keep(serial: SerialConsole, name: str, value: str) -> None:
    """Our guest has its firmware keep a variable."""
    # What is typed comes back as an echo; the quotes keep it from being taken for the answer.
    command = f"printf '\\007\\000\\000\\000{value}' >{variable(name)}"
    serial.send(f"{command} && echo wrote' 'it")
    serial.wait_for(lambda line: "wrote it" in line, BOOT)


def kept(serial: SerialConsole, name: str) -> str:
    """What the guest's firmware kept."""
    serial.send(f"echo it' 'is: $(tail -c +5 {variable(name)})")
    said = serial.wait_for(lambda line: "it is:" in line, BOOT)
    return said.partition("it is: ")[2]


def booted(serial: SerialConsole) -> str:
    """What the guest says of itself, when its firmware has started it."""
    said = serial.wait_for(lambda line: "guest: up" in line, BOOT)
    serial.send(f"{MOUNT}; [ -d {EFIVARS} ] && echo by' 'uefi")
    serial.wait_for(lambda line: "by uefi" in line, BOOT)
    return said
