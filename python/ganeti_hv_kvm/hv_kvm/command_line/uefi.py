"""UEFI firmware: the machine's two flash chips, code and variables, on one disk of the guest's.

A stored command names them as upstream's module does, which maps each region of the disk to a
device of its own (device-mapper). Here QEMU is given the regions by its raw driver's offset and
size at execution: nothing is mapped, and nothing has to be cleaned up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.devices.description import OPENED_FOR_GOOD, Backend
from ganeti_hv_kvm.hv_kvm.firmware import REGION_CODE, REGION_VARS
from ganeti_hv_kvm.hv_kvm.ganeti import boot_type
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import text_or_none

from .option import Part
from .request import FirmwareDisk, StartRequest

_MAPPER = "/dev/mapper"
_NODE = re.compile(r"(?:^|,)node-name=(?P<name>[^,]+)")
#: Region -> the block node that -machine refers to.
_NODES = {REGION_CODE: "ovmf-code", REGION_VARS: "ovmf-vars"}
_REGIONS = {node: region for region, node in _NODES.items()}
#: Code in system management mode alone may write to the flash, so that no kernel can.
_ONLY_FROM_SMM = "driver=cfi.pflash01,property=secure,value=on"


#: In kvm_extra: firmware or a kernel of the administrator's own.
_OWN_FIRMWARE = re.compile(r"(?:^|\s)-(?:bios|pflash|kernel)\b|\bpflash[01]?\b")


def why_none(hvp: Mapping[str, object]) -> str | None:
    """Say why a guest with these parameters cannot have UEFI firmware by tag; None if it can."""
    if boot_type.uses_direct_kernel(boot_type.of(hvp)):
        return (
            f"it boots a kernel of the node's, {hvp[constants.HV_KERNEL_PATH] or 'by boot_type'};"
            f" to boot from a disk it needs an empty {constants.HV_KERNEL_PATH}"
            + (f" and {boot_type.PARAMETER}=bios or uefi" if boot_type.PARAMETER else "")
        )
    if hvp[constants.HV_BOOT_ORDER] == constants.HT_BO_FLOPPY:
        return f"{constants.HV_BOOT_ORDER} is floppy, from which UEFI firmware cannot boot"
    machine = str(hvp[constants.HV_KVM_MACHINE_VERSION] or "pc")
    if not machine.startswith(("pc", "q35")):
        return f"machine {machine} is neither a pc nor a q35"
    if found := _OWN_FIRMWARE.search(text_or_none(hvp, constants.HV_KVM_EXTRA) or ""):
        return f"{constants.HV_KVM_EXTRA} has firmware or a kernel of its own ({found[0].strip()})"
    return None


def mapping_name(instance: str, region: str) -> str:
    """The name by which upstream's module has a region mapped on each node."""
    return f"{instance}-ovmf-{region}"


def mapping_path(instance: str, region: str) -> str:
    """The device that this mapping makes."""
    return f"{_MAPPER}/{mapping_name(instance, region)}"


def flash(request: StartRequest) -> list[str]:
    """-blockdev for each region, in upstream's words; -machine, which refers to them, follows."""
    if not request.has_uefi:
        return []
    words = []
    for region, node in _NODES.items():
        protocol = {
            "driver": "host_device",
            "filename": mapping_path(request.instance.name, region),
        }
        read_only = {"read-only": True} if region == REGION_CODE else {}
        block = Backend({"driver": "raw", "node-name": node, **read_only, "file": protocol})
        words += ["-blockdev", block.as_argument()]
    return [*words, *(["-global", _ONLY_FROM_SMM] if _needs_smm(request) else [])]


def _needs_smm(request: StartRequest) -> bool:
    """Whether the firmware does.

    Raises HypervisorError for a machine that cannot have it: the guest would stand still, and no
    word of it be seen.
    """
    if request.needs_smm and not request.is_q35:
        raise errors.HypervisorError(
            f"the firmware of {request.instance.name} is made for Secure Boot with SMM, which"
            f" machine {request.machine} cannot have: set machine_version to a q35, or make the"
            " firmware disk of other firmware (ovmf_code)"
        )
    return request.needs_smm


def of_machine(request: StartRequest) -> list[Part]:
    """What the flash chips add to -machine."""
    if not request.has_uefi:
        return []
    smm: list[Part] = [("smm", "on")] if _needs_smm(request) else []
    return [*smm, *((f"pflash{chip}", node) for chip, node in enumerate(_NODES.values()))]


def is_used(command: Sequence[object]) -> bool:
    """Whether a stored command has flash chips."""
    return any(
        word == "-blockdev" and _region(str(value)) is not None for word, value in pairwise(command)
    )


def _region(block: str) -> str | None:
    """Which region a block node is, None if it is another one."""
    if block.startswith("{"):
        name = str(json.loads(block).get("node-name"))
    else:
        found = _NODE.search(block)
        name = found["name"] if found else ""
    return _REGIONS.get(name)


def from_disk(command: Sequence[str], disk: FirmwareDisk | None) -> list[str]:
    """A command whose flash chips are those regions of the disk.

    Raises HypervisorError where the command has them, and there is no disk.
    """
    words = list(command)
    for place, (word, value) in enumerate(pairwise(command)):
        region = _region(value) if word == "-blockdev" else None
        if region is None:
            continue
        if disk is None:
            raise errors.HypervisorError("the guest has UEFI firmware, and no firmware disk")
        words[place + 1] = _block_node(region, disk).as_argument()
    return words


def _block_node(region: str, disk: FirmwareDisk) -> Backend:
    offset, size = disk.layout[region]
    is_code = region == REGION_CODE
    return Backend(
        {
            "driver": "raw",
            "node-name": _NODES[region],
            # the guest may not change its code; what it may write stays open for that
            **({"read-only": True} if is_code else OPENED_FOR_GOOD),
            "offset": offset,
            "size": size,
            "cache": {"direct": disk.direct, "no-flush": False},
            "file": {
                "driver": "file" if disk.is_file else "host_device",
                "filename": disk.path,
                # both regions are of one file; what keeps a guest from running twice are its disks
                "locking": "off",
            },
        }
    )
