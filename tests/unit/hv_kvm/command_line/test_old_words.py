"""Words that QEMU 7.2 knows and QEMU 10 does not."""

from __future__ import annotations

import pytest

from ganeti_hv_kvm.hv_kvm.command_line import old_words
from ganeti_hv_kvm.hv_kvm.qemu.facts import QemuFacts
from harness import paths

OLD = ["qemu", "-no-acpi", "-no-hpet", "-machine", "pc-i440fx-7.2,accel=tcg", "-chroot", "/a,b"]


def facts(version: str) -> QemuFacts:
    text = (paths.PROJECT / f"tests/data/qemu/{version}/help.txt").read_text()
    return QemuFacts.from_texts("qemu", help_text=text)


def test_what_qemu_knows_stays():
    assert old_words.translate(OLD, facts("7.2")) == OLD


def test_what_qemu_has_lost_is_said_in_its_words():
    assert old_words.translate(OLD, facts("10.0")) == [
        *("qemu", "-machine", "pc-i440fx-7.2,acpi=off,hpet=off,accel=tcg"),
        *("-run-with", "chroot=/a,,b"),
    ]


@pytest.mark.parametrize("version", ["7.2", "10.0"])
def test_sound(version):
    words = old_words.translate(["qemu", "-soundhw", "hda"], facts(version))
    assert words == ["qemu", "-audio", "driver=none,model=hda,id=soundhw"]


def test_without_a_machine():
    assert old_words.translate(["qemu", "-no-acpi"], facts("10.0")) == [
        *("qemu", "-machine", "acpi=off")
    ]


def test_of_kvm_extra():
    words = ["-async-teardown", "-watchdog", "i6300esb,id=w", "-rotate", "90", "-portrait", "-S"]
    assert old_words.translate(words, facts("10.0")) == [
        *("-run-with", "async-teardown=on", "-device", "i6300esb,id=w", "-S")
    ]
    kept = ["-async-teardown", "-rotate", "90", "-portrait"]
    assert old_words.translate(kept, facts("7.2")) == kept
