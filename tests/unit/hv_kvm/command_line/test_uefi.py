"""The words for UEFI firmware: upstream's in what is stored, QEMU's raw driver at execution."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm import command_line
from ganeti_hv_kvm.hv_kvm.command_line import FirmwareDisk, uefi
from ganeti_hv_kvm.hv_kvm.ganeti import boot_type, guest_options
from ganeti_hv_kvm.hv_kvm.ganeti.generation import BLOCKDEV, DEVELOPMENT, DRIVE, Dialect

from .samples import LINK, NAME, completion, disk, instance, start

MIB = 1 << 20
ON_DISK = FirmwareDisk("/fw", True, False, {"code": (MIB, 4096), "vars": (2 * MIB, 8192)})
needs_parameter = pytest.mark.skipif(
    not hasattr(constants, "HV_BOOT_TYPE"), reason="this Ganeti has no boot_type"
)
STORED = [
    "-blockdev",
    f"driver=raw,node-name=ovmf-code,read-only=on,file.driver=host_device,"
    f"file.filename=/dev/mapper/{NAME}-ovmf-code",
    "-blockdev",
    f"driver=raw,node-name=ovmf-vars,file.driver=host_device,"
    f"file.filename=/dev/mapper/{NAME}-ovmf-vars",
]
EXECUTED = [
    "-blockdev",
    "driver=raw,node-name=ovmf-code,read-only=on,offset=1048576,size=4096,cache.direct=off,"
    "cache.no-flush=off,file.driver=file,file.filename=/fw,file.locking=off",
    "-blockdev",
    "driver=raw,node-name=ovmf-vars,auto-read-only=off,offset=2097152,size=8192,cache.direct=off,"
    "cache.no-flush=off,file.driver=file,file.filename=/fw,file.locking=off",
]


def built(**parameters: Any) -> list[str]:
    smm = parameters.pop("needs_smm", False)
    made = instance(**parameters)
    return command_line.build(start(made, dialect=DEVELOPMENT, needs_smm=smm))


def boots(kind: str) -> dict[str, str]:
    """How a guest boots, where Ganeti has a parameter for it."""
    return {boot_type.PARAMETER: kind} if boot_type.PARAMETER else {}


def values(command: list[str], switch: str) -> list[str]:
    return [command[at + 1] for at, word in enumerate(command) if word == switch]


def firmware_disk() -> tuple[Any, str, None]:
    """Ganetis of today have no role."""
    return SimpleNamespace(role="firmware", hvinfo=None, mode="rw"), "/fw", None


@needs_parameter
@pytest.mark.parametrize("kind", ["uefi", "direct_kernel_efi"])
def test_what_is_stored(kind: str) -> None:
    command = built(boot_type=kind, kernel_path="/boot/vmlinuz", root_path="/dev/vda1")
    assert command[command.index("-blockdev") :][:4] == STORED
    assert command.index("-machine") == command.index("-blockdev") + 4
    (machine,) = values(command, "-machine")
    assert machine.endswith(",pflash0=ovmf-code,pflash1=ovmf-vars")
    assert "smm" not in machine
    assert values(command, "-kernel") == (["/boot/vmlinuz"] if kind == "direct_kernel_efi" else [])
    assert uefi.is_used(command)


@needs_parameter
@pytest.mark.parametrize("kind", ["bios", "direct_kernel"])
def test_others_have_none_of_it(kind: str) -> None:
    command = built(boot_type=kind, kernel_path="/boot/vmlinuz", root_path="/dev/vda1")
    # Ganeti's default has a kernel, also for a guest that is to boot by its BIOS
    assert values(command, "-kernel") == (["/boot/vmlinuz"] if kind == "direct_kernel" else [])
    assert "ovmf" not in " ".join(command)
    assert not uefi.is_used(command)


@needs_parameter
def test_code_for_smm() -> None:
    command = built(boot_type="uefi", machine_version="q35", needs_smm=True)
    assert ",smm=on,pflash0=ovmf-code," in values(command, "-machine")[0]
    assert values(command, "-global") == ["driver=cfi.pflash01,property=secure,value=on"]
    with pytest.raises(errors.HypervisorError, match=r"which machine pc-i440fx-7.2 cannot have"):
        built(boot_type="uefi", machine_version="pc", needs_smm=True)


@pytest.mark.parametrize("dialect", [DRIVE, BLOCKDEV, DEVELOPMENT], ids=["3.0", "3.1", "dev"])
def test_by_tag_in_each_dialect(dialect: Dialect) -> None:
    options, problems = guest_options.parse(["hv-kvm:firmware:uefi"])
    assert problems == []
    made = instance(kernel_path="", **boots("bios"))
    command = command_line.build(start(made, dialect=dialect, options=options))
    assert command[command.index("-blockdev") :][:4] == STORED
    (machine,) = values(command, "-machine")
    assert machine.endswith(",pflash0=ovmf-code,pflash1=ovmf-vars")
    assert command.index("-machine") > command.index("-blockdev")
    without = command_line.build(start(made, dialect=dialect))
    assert [word for word in command if word not in STORED and word != machine] == [
        word for word in without if word != machine.partition(",pflash0")[0]
    ]


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({}, None),
        ({"boot_order": "network"}, None),
        ({"machine_version": "pc-q35-7.2"}, None),
        ({"kvm_extra": "-device pci-bridge,chassis_nr=1 -name bios"}, None),
        ({"kernel_path": "/boot/vmlinuz"}, "a kernel of the node's, /boot/vmlinuz"),
        ({"boot_order": "floppy"}, "boot_order is floppy"),
        ({"machine_version": "isapc"}, "machine isapc is neither"),
        ({"kvm_extra": "-bios /fw"}, r"\(-bios\)"),
        ({"kvm_extra": "-smp 2\n-kernel /boot/vmlinuz"}, r"\(-kernel\)"),
        ({"kvm_extra": "-machine pflash0=mine"}, r"\(pflash0\)"),
    ],
)
def test_where_a_tag_is_refused(parameters: dict[str, Any], why: str | None) -> None:
    kind = boots("direct_kernel" if "kernel_path" in parameters else "bios")
    hvp = instance(**{"kernel_path": "", **kind, **parameters}).hvparams
    said = uefi.why_none(hvp)
    assert said == why if why is None else re.search(why, said or "")


@pytest.mark.parametrize(
    "stored",
    [
        STORED,
        [
            word if word == "-blockdev" else json.dumps({"node-name": name, "driver": "raw"})
            for word, name in zip(STORED, ("", "ovmf-code", "", "ovmf-vars"), strict=True)
        ],
    ],
    ids=["words", "json"],
)
def test_what_is_executed(stored: list[str]) -> None:
    command = ["kvm", "-m", "256", *stored, "-machine", "pc,pflash0=ovmf-code,pflash1=ovmf-vars"]
    kept = list(command)
    assert uefi.is_used(command)
    assert uefi.from_disk(command, ON_DISK) == [*command[:3], *EXECUTED, *command[-2:]]
    assert command == kept
    with pytest.raises(errors.HypervisorError, match="no firmware disk"):
        uefi.from_disk(command, None)


def test_a_block_device_goes_past_the_page_cache() -> None:
    there = ON_DISK._replace(path="/dev/drbd0", is_file=False, direct=True)
    code, variables = values(uefi.from_disk(["kvm", *STORED], there), "-blockdev")
    for block in (code, variables):
        assert "cache.direct=on" in block
        assert "file.driver=host_device,file.filename=/dev/drbd0" in block


def test_other_block_nodes_stay_as_they_are() -> None:
    command = ["kvm", "-blockdev", "driver=raw,node-name=cdrom1", "-blockdev", '{"driver": "raw"}']
    assert uefi.from_disk(command, ON_DISK) == command
    assert uefi.from_disk(command, None) == command
    assert not uefi.is_used(command)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_firmware_disk_is_no_disk_of_the_guest(place: int) -> None:
    made = instance(boot_order="disk")
    data = [disk(seq=seq, link=f"{LINK}{seq}") for seq in range(2)]
    for number, (one, _, _) in enumerate(data):
        one.hvinfo = {"driver": "virtio-blk-pci", "id": f"disk-{number}", "bus": "pci.0"}
    disks = [*data[:place], firmware_disk(), *data[place:]]
    command = command_line.complete(
        ["kvm", "-smp", "1"], completion(made, disks=disks, dialect=DEVELOPMENT)
    )
    first, second = values(command, "-device")
    assert "id=disk-0" in first
    assert "bootindex=1" in first
    assert "id=disk-1" in second
    assert "bootindex" not in second
    assert len(values(command, "-blockdev")) == 2
