"""Checks between hypervisor parameters."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm import validation
from ganeti_hv_kvm.hv_kvm.qemu.facts import QemuFacts
from harness import paths

HELP = "QEMU emulator version 7.2.0\n-vnc <display>\n-spice [port=port]\n"
MACHINES = """\
Supported machines are:
microvm              microvm (i386)
pc                   Standard PC (i440FX + PIIX, 1996) (alias of pc-i440fx-7.2)
pc-i440fx-7.2        Standard PC (i440FX + PIIX, 1996) (default)
none                 empty machine
"""
DEFAULTS = dict(constants.HVC_DEFAULTS[constants.HT_KVM])
#: What makes boot_order count, where Ganeti has boot_type.
BIOS = {"boot_type": "bios"} if hasattr(constants, "HV_BOOT_TYPE") else {}

Check = Callable[[dict[str, Any]], bool]


def with_help(text: str) -> Check:
    return lambda hvparams: validation.validate_spice_parameters(hvparams, text)


def with_machines(text: str) -> Check:
    return lambda hvparams: validation.validate_machine_version(hvparams, text)


def with_version(*version: Any) -> Check:
    return lambda hvparams: validation.validate_disk_parameters(hvparams, version)


GOOD: list[tuple[Check, dict[str, Any]]] = [
    (validation.check_boot_parameters, {"boot_order": "cdrom", "cdrom_image_path": "/cd.iso"}),
    (validation.check_boot_parameters, {"kernel_path": "", "root_path": ""}),
    (validation.check_console_parameters, {"serial_console": False, "serial_speed": None}),
    (validation.check_console_parameters, {"serial_console": True, "serial_speed": 115200}),
    (validation.check_disk_cache_parameters, {"disk_aio": "native", "disk_cache": "none"}),
    (validation.check_disk_cache_parameters, {"disk_aio": "threads", "disk_cache": "writeback"}),
    (validation.check_security_model, {"security_model": "user", "security_domain": "kvm"}),
    (validation.check_security_model, {"security_model": "pool", "security_domain": ""}),
    (validation.check_spice_parameters, {"spice_bind": "lo", "spice_ip_version": 6}),
    (validation.check_spice_parameters, {"spice_bind": "::1", "spice_ip_version": 6}),
    (validation.check_spice_parameters, {"spice_bind": "::1", "spice_ip_version": 0}),
    (validation.check_vnc_parameters, {"vnc_x509_verify": True, "vnc_x509_path": "/certs"}),
    (validation.validate_security_model, {"security_model": "user", "security_domain": "root"}),
    (validation.validate_security_model, {"security_model": "none", "security_domain": "x"}),
    (validation.validate_vnc_parameters, {"vnc_bind_address": ""}),
    (validation.validate_vnc_parameters, {"vnc_bind_address": "lo"}),
    (validation.validate_vnc_parameters, {"vnc_bind_address": "127.0.0.1"}),
    (validation.validate_vnc_parameters, {"vnc_bind_address": "/run/vnc"}),
    (with_help("no spice"), {"spice_bind": "", "vnc_bind_address": "::"}),
    (with_help(HELP), {"spice_bind": "::", "vnc_bind_address": ""}),
    (with_help(HELP), {"spice_bind": "lo", "vnc_bind_address": None}),
    (with_machines(MACHINES), {"machine_version": ""}),
    (with_machines(MACHINES), {"machine_version": "pc-i440fx-7.2"}),
    (with_version("4.2", 4, 2, 0), {"disk_aio": "native"}),
    (with_version("5.0", 5, 0, 0), {"disk_aio": "io_uring"}),
]

BAD: list[tuple[Check, dict[str, Any], str]] = [
    (
        validation.check_boot_parameters,
        {"boot_order": "cdrom", "cdrom_image_path": "", **BIOS},
        "cdrom_image_path is empty",
    ),
    (
        validation.check_boot_parameters,
        {"kernel_path": "/k", "root_path": ""},
        "root_path must name",
    ),
    (
        validation.check_console_parameters,
        {"serial_console": True, "serial_speed": 38401},
        "serial_speed is 38401; .* 38400",
    ),
    (
        validation.check_console_parameters,
        {"serial_console": True, "serial_speed": None},
        "serial_speed is None",
    ),
    (
        validation.check_disk_cache_parameters,
        {"disk_aio": "native", "disk_cache": "default"},
        "disk_aio=native goes with disk_cache=none",
    ),
    (
        validation.check_security_model,
        {"security_model": "user", "security_domain": ""},
        "needs the name of a user in security_domain",
    ),
    (
        validation.check_security_model,
        {"security_model": "pool", "security_domain": "kvm"},
        "security_domain must be empty",
    ),
    (
        validation.check_spice_parameters,
        {"spice_bind": "", "spice_use_tls": True},
        "spice_use_tls has no effect",
    ),
    (
        validation.check_spice_parameters,
        {"spice_bind": "0.0.0.0", "spice_ip_version": 6},
        "IPv4 address 0.0.0.0, but spice_ip_version is 6",
    ),
    (
        validation.check_spice_parameters,
        {"spice_bind": "::", "spice_ip_version": 4},
        "IPv6 address ::, but spice_ip_version is 4",
    ),
    (
        validation.check_vnc_parameters,
        {"vnc_x509_verify": True, "vnc_x509_path": ""},
        "vnc_x509_path does not say",
    ),
    (
        validation.validate_security_model,
        {"security_model": "user", "security_domain": "no-such-user"},
        "no user 'no-such-user'",
    ),
    (
        validation.validate_vnc_parameters,
        {"vnc_bind_address": "192.0.2.5.5"},
        "'192.0.2.5.5', which is neither",
    ),
    (
        with_help(HELP),
        {"spice_bind": "::", "vnc_bind_address": "::"},
        "one display",
    ),
    (with_help(HELP), {"spice_bind": "/run/spice", "vnc_bind_address": ""}, "'/run/spice', which"),
    (with_help(HELP), {"spice_bind": ".", "vnc_bind_address": ""}, "'.', which is"),
    (validation.validate_vnc_parameters, {"vnc_bind_address": "../lo"}, "'../lo', which is"),
    (with_help("-vnc"), {"spice_bind": "::", "vnc_bind_address": ""}, "has no SPICE"),
    (with_help(HELP), {"spice_bind": "nonet0", "vnc_bind_address": ""}, "'nonet0', which is"),
    (with_machines(MACHINES), {"machine_version": "microvm"}, "'microvm', which is no PC"),
    (with_version("4.2.9", 4, 2, 9), {"disk_aio": "io_uring"}, r"needs QEMU 5\.0 .* has 4\.2\.9"),
]


@pytest.mark.parametrize(("check", "changed"), GOOD)
def test_accepted(check: Check, changed: dict[str, Any]) -> None:
    assert check(DEFAULTS | changed) is True


@pytest.mark.parametrize(("check", "changed", "message"), BAD)
def test_refused_with_the_reason(check: Check, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.HypervisorError, match=message) as caught:
        check(DEFAULTS | changed)
    assert "%" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["pc-i440fx.7.2", "pc.*", "(pc", "pc|microvm", "i440FX", "pc-i440"]
)
def test_machine_names_are_taken_literally(name: str) -> None:
    with pytest.raises(errors.HypervisorError, match="no PC that this node"):
        validation.validate_machine_version({"machine_version": name}, MACHINES)


def test_ganetis_defaults_pass_every_check() -> None:
    validation.check_all(DEFAULTS)


@pytest.mark.parametrize(
    "changed",
    [changed for check, changed, _ in BAD if check in validation._CHECKS],
)
def test_check_all_runs_each_check(changed: dict[str, Any]) -> None:
    with pytest.raises(errors.HypervisorError):
        validation.check_all(DEFAULTS | changed)


def facts(help_text: str = HELP, machines: str = MACHINES) -> QemuFacts:
    return QemuFacts.from_texts("/usr/bin/kvm", help_text=help_text, machines=machines)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"security_model": "user", "security_domain": "no-such-user"}, "no user"),
        ({"vnc_bind_address": "nonet0"}, "vnc_bind_address is 'nonet0'"),
        ({"spice_bind": "nonet0"}, "spice_bind is 'nonet0'"),
        ({"machine_version": "q36"}, "machine_version is 'q36'"),
    ],
)
def test_validate_all_runs_each_check(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.HypervisorError, match=message):
        validation.validate_all(DEFAULTS | changed, facts())


def test_validate_all_compares_versions() -> None:
    old = facts("QEMU emulator version 4.2.1\n")
    with pytest.raises(errors.HypervisorError, match=r"has 4\.2\.1"):
        validation.validate_all(DEFAULTS | {"disk_aio": "io_uring"}, old)


def test_validate_all_against_this_nodes_qemu() -> None:
    from ganeti_hv_kvm.hv_kvm.qemu import binary

    real = binary.probe(str(paths.QEMU))
    validation.validate_all(DEFAULTS | {"machine_version": "pc"}, real)
    with pytest.raises(errors.HypervisorError, match="'microvm', which is no PC"):
        validation.validate_all(DEFAULTS | {"machine_version": "microvm"}, real)


def test_validate_all_finds_out_that_a_program_is_no_qemu() -> None:
    from ganeti_hv_kvm.hv_kvm.qemu import binary

    with pytest.raises(errors.HypervisorError):
        validation.validate_all(DEFAULTS, binary.probe("/bin/false"))


Q35_MACHINES = (paths.PROJECT / "tests/data/qemu/7.2/machines.txt").read_text()


def q35(**changed: Any) -> dict[str, Any]:
    return DEFAULTS | {"machine_version": "q35", "vga": "std"} | changed


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"machine_version": "pc-q35-7.2"},
        {"cdrom_disk_type": "ide"},
        {"cdrom_disk_type": "scsi-cd"},
        {"disk_type": "scsi-block"},
        {"nic_type": "e1000"},
        {"soundhw": "ac97"},
        {"soundhw": "hda"},
        {"vga": "std"},
        {"scsi_controller_type": "virtio-scsi-pci"},
    ],
    ids=str,
)
def test_what_a_q35_can_have(changed: dict[str, Any]) -> None:
    hvparams = q35(scsi_controller_type="virtio-scsi-pci") | changed
    assert validation.validate_q35_capability(hvparams, Q35_MACHINES) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"disk_type": "ide"}, "disk_type='ide' is not supported on the q35"),
        ({"cdrom_disk_type": "paravirtual"}, "cdrom_disk_type='paravirtual' is not supported"),
        ({"floppy_image_path": "/srv/a.img"}, "floppy_image_path='/srv/a.img' .* no floppy"),
        ({"nic_type": "ne2k_isa"}, "nic_type='ne2k_isa' .* no ISA"),
        ({"soundhw": "es1370"}, "soundhw='es1370' .* ac97 or hda"),
        ({"soundhw": "ac97,hda"}, "soundhw='ac97,hda'"),
    ],
)
def test_what_a_q35_cannot_have(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(errors.HypervisorError, match=words):
        validation.validate_q35_capability(q35(**changed), Q35_MACHINES)
    on_pc = q35(**changed) | {"machine_version": "pc"}
    assert validation.validate_q35_capability(on_pc, Q35_MACHINES) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"scsi_controller_type": "lsi"}, "scsi_controller_type is lsi.*virtio-scsi-pci is better"),
        ({"vga": "cirrus"}, "vga is cirrus.*std is better"),
        ({"vga": ""}, "vga is empty.*cirrus.*std is better"),
    ],
)
def test_what_is_better_on_a_q35(
    changed: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    hvparams = q35(scsi_controller_type="virtio-scsi-pci") | changed
    (said,) = validation.validate_q35_capability(hvparams, Q35_MACHINES)
    assert re.search(words, said)
    facts = QemuFacts.from_texts("qemu", help_text=HELP, machines=Q35_MACHINES)
    validation.validate_all(hvparams | {"vnc_bind_address": "", "spice_bind": ""}, facts)
    assert said in caplog.text


def test_a_qemu_without_q35() -> None:
    with pytest.raises(errors.HypervisorError, match="'q35', but this node's QEMU has no q35"):
        validation.validate_q35_capability(q35(), MACHINES)


@pytest.mark.parametrize(
    ("most", "downtime", "good"), [(10, 50, False), (0, 50, True), (100, 50, True), (50, 50, True)]
)
def test_the_downtimes_ceiling_is_not_below_it(monkeypatch, most, downtime, good):
    name = "migration_downtime_max"
    monkeypatch.setattr(constants, "HV_MIGRATION_DOWNTIME_MAX", name, raising=False)
    hvparams = {name: most, constants.HV_MIGRATION_DOWNTIME: downtime}
    if good:
        assert validation.validate_migration_parameters(hvparams) is True
    else:
        with pytest.raises(errors.HypervisorError, match="migration_downtime_max is 10"):
            validation.validate_migration_parameters(hvparams)
