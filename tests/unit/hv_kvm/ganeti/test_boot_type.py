"""What boots a guest, with and without Ganeti's parameter for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ganeti import constants, errors, objects

from ganeti_hv_kvm.hv_kvm import validation
from ganeti_hv_kvm.hv_kvm.command_line import boot, runtime_upgrade
from ganeti_hv_kvm.hv_kvm.ganeti import boot_type
from ganeti_hv_kvm.hv_kvm.ganeti.parameters import PARAMETERS

HAS_PARAMETER = hasattr(constants, "HV_BOOT_TYPE")
KERNEL = {"kernel_path": "/boot/vmlinuz", "initrd_path": "/boot/initrd", "kernel_args": "ro"}
needs_parameter = pytest.mark.skipif(not HAS_PARAMETER, reason="this Ganeti has no boot_type")


def parameters(**changes: Any) -> dict[str, Any]:
    return {"boot_order": "disk", "cdrom_image_path": "", "root_path": "/dev/vda1", **KERNEL} | (
        changes
    )


@pytest.mark.skipif(HAS_PARAMETER, reason="this Ganeti has boot_type")
def test_without_the_parameter_the_kernel_says_it() -> None:
    assert boot_type.PARAMETER is None
    # no value of a Ganeti that went back to an earlier version is believed
    assert boot_type.of(parameters(boot_type="uefi")) == "direct_kernel"
    assert boot_type.of(parameters(kernel_path="")) == "bios"
    assert boot_type.without_unused(parameters(kernel_path="")) == parameters(kernel_path="")


@needs_parameter
def test_the_parameter_says_it() -> None:
    assert boot_type.kernel(parameters(boot_type="direct_kernel_efi")) == "/boot/vmlinuz"
    for said in ("bios", "uefi"):
        given = parameters(boot_type=said)
        assert boot_type.kernel(given) == ""
        assert boot_type.without_unused(given) == given | dict.fromkeys(KERNEL, "")
        assert boot.boots_from(given, "disk")
    assert not boot.boots_from(parameters(boot_type="direct_kernel"), "disk")
    # upstream's rule, also where there is no kernel to be given
    assert not boot.boots_from(parameters(boot_type="direct_kernel", kernel_path=""), "disk")


@needs_parameter
def test_its_values_are_those_of_ganeti() -> None:
    required, is_valid, *_ = PARAMETERS["boot_type"]
    assert required
    assert all(map(is_valid, constants.HT_KVM_VALID_BOOT_MODES))
    assert not is_valid("uefi ")
    assert PARAMETERS["ovmf_code"] == (False, None, None, None, None)


@needs_parameter
@pytest.mark.parametrize(
    "good",
    [
        {"boot_type": "direct_kernel", "boot_order": "cdrom"},
        {"boot_type": "direct_kernel_efi", "boot_order": "cdrom", "kernel_path": ""},
        {"boot_type": "direct_kernel_efi", "boot_order": "floppy"},
        {"boot_type": "bios", "root_path": ""},
        {"boot_type": "bios", "boot_order": "floppy"},
        {"boot_type": "bios", "boot_order": "cdrom", "cdrom_image_path": "/cd.iso"},
        {"boot_type": "uefi", "root_path": ""},
        {"boot_type": "uefi", "boot_order": "cdrom", "cdrom_image_path": "/cd.iso"},
    ],
)
def test_what_goes_together(good: dict[str, Any]) -> None:
    assert validation.check_boot_parameters(parameters(**good)) is True


@needs_parameter
@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"boot_type": "direct_kernel", "root_path": ""}, "root partition"),
        ({"boot_type": "direct_kernel_efi", "root_path": ""}, "root partition"),
        ({"boot_type": "bios", "boot_order": "cdrom"}, "cdrom_image_path is empty"),
        ({"boot_type": "uefi", "boot_order": "cdrom"}, "cdrom_image_path is empty"),
        ({"boot_type": "uefi", "boot_order": "floppy"}, "UEFI firmware cannot boot"),
    ],
)
def test_what_does_not(bad: dict[str, Any], says: str) -> None:
    with pytest.raises(errors.HypervisorError, match=says):
        validation.check_boot_parameters(parameters(**bad))


def test_kinds() -> None:
    assert {kind: boot_type.uses_ovmf(kind) for kind in ("bios", "direct_kernel", None)} == {
        "bios": False,
        "direct_kernel": False,
        None: False,
    }
    assert validation.uses_ovmf("uefi")
    assert validation.uses_ovmf("direct_kernel_efi")
    assert validation.uses_direct_kernel("direct_kernel_efi")
    assert not validation.uses_direct_kernel("uefi")


@pytest.mark.parametrize(("kernel", "kind"), [("/boot/vmlinuz", "direct_kernel"), ("", "bios")])
def test_an_older_guest_boots_as_it_did(kernel: str, kind: str) -> None:
    runtime: list[Any] = [[], [], {"kernel_path": kernel}, []]
    runtime_upgrade.upgrade(runtime)
    assert runtime[2].get("boot_type") == (kind if HAS_PARAMETER else None)
    runtime_upgrade.upgrade(runtime)
    assert runtime[2].get("boot_type") == (kind if HAS_PARAMETER else None)


@needs_parameter
def test_a_newer_guest_keeps_what_it_was_started_with() -> None:
    runtime: list[Any] = [[], [], {"kernel_path": "/boot/vmlinuz", "boot_type": "uefi"}, []]
    runtime_upgrade.upgrade(runtime)
    assert runtime[2]["boot_type"] == "uefi"


def test_roles() -> None:
    disks = [SimpleNamespace(role=role) for role in ("data", "firmware", None)]
    disks.append(SimpleNamespace())
    entries = [(disk, f"/d{index}", None) for index, disk in enumerate(disks)]
    assert [link for _, link, _ in boot_type.data_disks(entries)] == ["/d0", "/d2", "/d3"]


def test_a_mark_stands_for_the_role_whatever_the_disk_is_called() -> None:
    disk = objects.Disk(name="firmware", hvinfo={"driver": "virtio-blk-pci"})
    assert not boot_type.is_firmware(disk)
    boot_type.mark_firmware(disk)
    assert boot_type.is_firmware(disk)
    kept = disk.ToDict()
    kept["name"] = "another"
    assert boot_type.is_firmware_entry(kept)
    assert boot_type.is_firmware(objects.Disk.FromDict(kept))
    assert not boot_type.is_firmware_entry({"hvinfo": None, "name": "firmware"})
