"""The table of hypervisor parameters."""

from __future__ import annotations

from typing import Any

import pytest
from ganeti import constants
from ganeti.hypervisor import hv_base

from ganeti_hv_kvm.hv_kvm.ganeti.parameters import PARAMETERS

#: The development version has a constant for it, and more of them.
MOST_QUEUES = getattr(constants, "MAX_VIRTIO_NET_QUEUES", 8)


def test_every_parameter_that_ganeti_has_a_default_for() -> None:
    assert set(PARAMETERS) == set(constants.HVC_DEFAULTS[constants.HT_KVM])


def test_each_check_has_the_form_that_ganeti_wants() -> None:
    for name, check in PARAMETERS.items():
        assert isinstance(check, tuple), name
        required, syntax, syntax_error, node, node_error = check
        assert isinstance(required, bool), name
        assert callable(syntax) == bool(syntax_error), name
        assert callable(node) == bool(node_error), name


def test_ganetis_defaults_pass() -> None:
    class Hypervisor(hv_base.BaseHypervisor):  # type: ignore[misc]
        pass

    Hypervisor.PARAMETERS = PARAMETERS
    Hypervisor.CheckParameterSyntax(dict(constants.HVC_DEFAULTS[constants.HT_KVM]))


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("spice_ip_version", [0, 4, 6], [1, 5, -4]),
        ("kvm_pci_reservations", [0, 12, constants.QEMU_PCI_SLOTS], [-1, 33]),
        ("virtio_net_queues", [1, MOST_QUEUES], [0, MOST_QUEUES + 1]),
        ("migration_port", [1, 8102], [0, 65536]),
        ("boot_order", sorted(constants.HT_KVM_VALID_BO_TYPES), ["tape"]),
        ("disk_discard", sorted(constants.HT_VALID_DISCARD_TYPES), ["maybe"]),
        ("disk_aio", sorted(constants.HT_KVM_VALID_AIO_TYPES), ["posix"]),
        ("spice_jpeg_wan_compression", ["auto", "never", "always"], ["on"]),
        ("spice_image_compression", ["glz", "off"], ["zip"]),
        ("spice_streaming_video", ["off", "all", "filter"], ["some"]),
        ("usb_mouse", ["mouse", "tablet"], ["cat"]),
        ("kvm_flag", ["enabled", "disabled"], ["on"]),
    ],
)
def test_values(name: str, good: list[Any], bad: list[Any]) -> None:
    _check(name, good, bad)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("migration_cancel_threshold", [0, 101, 1000], [100, 1, -1]),
        ("migration_downtime_max", [0, 1], [-1]),
        ("kvm_qmp_timeout", [0, 5], [-1]),
        ("disk_bps", [0, 1 << 40], [-1]),
        ("disk_iops", [0, 1], [-1]),
        ("virtio_disk_iothreads", [0, 1, 8], [-1, 9]),
        ("memory_hotplug_method", ["none", "virtio-mem"], ["pc-dimm"]),
        ("boot_type", ["bios", "uefi", "direct_kernel", "direct_kernel_efi"], ["grub"]),
    ],
)
def test_values_of_later_ganetis(name: str, good: list[Any], bad: list[Any]) -> None:
    if name not in constants.HVC_DEFAULTS[constants.HT_KVM]:
        pytest.skip(f"this Ganeti has no {name}")
    _check(name, good, bad)


def _check(name: str, good: list[Any], bad: list[Any]) -> None:
    _, syntax, _, _, _ = PARAMETERS[name]
    assert [value for value in good if not syntax(value)] == []
    assert [value for value in bad if syntax(value)] == []
