"""The machine type in a stored command, and what QEMU says of it."""

from __future__ import annotations

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.guest import machine_type
from ganeti_hv_kvm.hv_kvm.qemu.facts import QemuFacts
from harness import paths


def facts(version: str) -> QemuFacts:
    folder = paths.PROJECT / "tests/data/qemu" / version
    return QemuFacts.from_texts(
        "/usr/bin/qemu",
        help_text=(folder / "help.txt").read_text(),
        machines=(folder / "machines.txt").read_text(),
    )


@pytest.mark.parametrize(
    ("alias", "kind"),
    [("pc", "pc-i440fx-7.2"), ("q35", "pc-q35-7.2"), ("pc-i440fx-6.0", "pc-i440fx-6.0")],
)
def test_an_alias_is_resolved(alias, kind):
    assert facts("7.2").machine_of(alias) == kind


def test_a_type_takes_the_place_of_an_alias():
    command = ["qemu", "-machine", "acpi=off", "-M", "pc,accel=kvm"]
    assert machine_type.stored(command) == "pc"
    machine_type.keep(command, "pc-i440fx-7.2")
    assert command == ["qemu", "-machine", "acpi=off", "-M", "pc-i440fx-7.2,accel=kvm"]


def test_a_machine_that_qemu_has_no_more():
    command = ["qemu", "-machine", "pc-i440fx-2.1"]
    machine_type.check(command, facts("7.2"))
    with pytest.raises(errors.HypervisorError, match=r"has no machine type pc-i440fx-2\.1"):
        machine_type.check(command, facts("10.0"))


def test_qemu_names_its_machine():
    class Qmp:
        def __init__(self, answer):
            self.execute_qmp = lambda *_: answer

    assert machine_type.ask(Qmp("pc-q35-7.2-machine")) == "pc-q35-7.2"
    # what it says goes into the next command: it would be an option there
    for told in ({"odd": 1}, "pc,dumpdtb=/etc/passwd-machine", "pc", "-machine", "a" * 99_999):
        with pytest.raises(errors.HypervisorError, match="which is none we know") as caught:
            machine_type.ask(Qmp(told))
        assert len(str(caught.value)) < 200
