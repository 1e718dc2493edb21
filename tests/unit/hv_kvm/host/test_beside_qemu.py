"""Parameters that are about what lies beside QEMU on the node."""

from __future__ import annotations

from pathlib import Path

import pytest
from ganeti import constants, errors

from ganeti_hv_kvm.hv_kvm.host import beside_qemu

DEFAULTS = dict(constants.HVC_DEFAULTS[constants.HT_KVM])


@pytest.fixture
def qemu(tmp_path: Path) -> Path:
    """A QEMU with a folder of keyboard layouts beside it."""
    for folder in ("bin", "share/qemu/keymaps"):
        (tmp_path / folder).mkdir(parents=True)
    for layout in ("en-us", "de"):
        (tmp_path / "share/qemu/keymaps" / layout).touch()
    program = tmp_path / "bin/qemu-system-x86_64"
    program.write_bytes(b"\x7fELF")
    return program


@pytest.mark.parametrize(
    ("keymap", "address"),
    [("", "127.0.0.1"), ("de", "127.0.0.1"), ("none-such", ""), ("/srv/own", "127.0.0.1")],
)
def test_keymaps_that_are_there_or_not_used(qemu: Path, keymap: str, address: str) -> None:
    given = {"kvm_path": str(qemu), "keymap": keymap, "vnc_bind_address": address}
    beside_qemu.check_keymap(DEFAULTS | given)


def test_a_keymap_that_is_not_there(qemu: Path) -> None:
    given = {"kvm_path": str(qemu), "keymap": "none-such", "vnc_bind_address": "127.0.0.1"}
    with pytest.raises(errors.HypervisorError, match="keymap is 'none-such', which is no file in"):
        beside_qemu.check_keymap(DEFAULTS | given)


def test_a_qemu_without_a_folder_of_keymaps_has_the_last_word(qemu: Path) -> None:
    (qemu.parent.parent / "share/qemu/keymaps/en-us").unlink()
    given = {"kvm_path": str(qemu), "keymap": "none-such", "vnc_bind_address": "127.0.0.1"}
    beside_qemu.check_keymap(DEFAULTS | given)


@pytest.mark.parametrize(
    "given",
    [
        {"cpu_type": "qemu64"},
        {"cpu_type": "host", "kvm_flag": "enabled"},
        {"cpu_type": "host", "kvm_extra": "-accel kvm"},
    ],
)
def test_cpus_that_go_with_what_is_asked(qemu: Path, given: dict[str, str]) -> None:
    beside_qemu.check_cpu(DEFAULTS | {"kvm_path": str(qemu), "kvm_flag": ""} | given)


def test_the_nodes_own_cpu_needs_kvm(qemu: Path) -> None:
    given = {"kvm_path": str(qemu), "kvm_flag": "disabled", "cpu_type": "host,migratable=no"}
    with pytest.raises(errors.HypervisorError, match="needs KVM"):
        beside_qemu.check_cpu(DEFAULTS | given)


def test_a_script_may_ask_for_kvm_by_itself(qemu: Path) -> None:
    qemu.write_text('#!/bin/sh\nexec qemu-system-x86_64 -enable-kvm "$@"\n')
    given = {"kvm_path": str(qemu), "kvm_flag": "disabled", "cpu_type": "host"}
    beside_qemu.check_cpu(DEFAULTS | given)


def user(name: str, model: str = "user") -> dict[str, object]:
    return DEFAULTS | {"security_model": model, "security_domain": name}


def test_qemu_is_to_run_as_a_user_who_is_not_root() -> None:
    """Fault: it starts, cannot give up root's rights for root's, and ends."""
    beside_qemu.check_user(user("nobody"))
    beside_qemu.check_user(user("root", "none"))
    with pytest.raises(errors.HypervisorError, match="security_domain is 'root', which is root"):
        beside_qemu.check_user(user("root"))
    with pytest.raises(errors.HypervisorError, match="no user nobody-at-all"):
        beside_qemu.check_user(user("nobody-at-all"))


def test_a_folder_for_the_socket_of_vnc(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for good in ("", "::", "lo", str(tmp_path)):
        beside_qemu.check_vnc_folder(DEFAULTS | {"vnc_bind_address": good})
    for bad in ("file", "none"):
        with pytest.raises(errors.HypervisorError, match=f"{bad}', which is no folder"):
            beside_qemu.check_vnc_folder(DEFAULTS | {"vnc_bind_address": str(tmp_path / bad)})
