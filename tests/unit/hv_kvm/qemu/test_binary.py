"""What a QEMU says about itself, and how often it is asked."""

from __future__ import annotations

from types import SimpleNamespace
from unittest import mock

import pytest
from ganeti import errors, utils

from ganeti_hv_kvm.hv_kvm.qemu import binary, facts
from harness import paths
from unit.hv_kvm.command_line import samples


def answer(output: str = "", failed: bool = False) -> SimpleNamespace:
    return SimpleNamespace(output=output, failed=failed, fail_reason="exited with exit code 1")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("QEMU emulator version 7.2.22 (Debian 1:7.2)\nusage", ("7.2.22", 7, 2, 22)),
        ("QEMU emulator version 1.0, Copyright (c)", ("1.0", 1, 0, 0)),
        ("QEMU PC emulator version 0.9.1 (kvm-72), 2003", ("0.9.1", 0, 9, 1)),
    ],
)
def test_version_is_in_the_first_line(text: str, version: tuple) -> None:
    assert facts.parse_version(text) == version


@pytest.mark.parametrize("text", ["", "usage: qemu\nversion 7.2.0"])
def test_no_version_is_an_error(text: str) -> None:
    with pytest.raises(errors.HypervisorError, match="no QEMU version"):
        facts.parse_version(text)


@pytest.mark.parametrize(
    ("version", "machine"), [("7.2", "pc-i440fx-7.2"), ("10.0", "pc-i440fx-10.0")]
)
def test_default_machine_of_recorded_answers(version: str, machine: str) -> None:
    assert samples.facts(version).default_machine == machine


def test_machine_without_a_default() -> None:
    assert facts.parse_default_machine("Supported machines are:\nnone  empty\n") == "pc"


def test_each_question_is_asked_when_needed_and_once() -> None:
    with mock.patch.object(utils, "RunCmd", return_value=answer("QEMU 7.2.0\n-uuid x\n")) as run:
        facts = binary.probe("/bin/qemu")
        assert run.call_args_list == []
        assert facts.has_switch("-uuid")
        assert facts.version[1:] == (7, 2, 0)
        assert facts.default_machine == "pc"
        assert not facts.has_device("virtio-blk-pci")
        assert not facts.has_device("virtio-net-pci")

    assert [call.args[0] for call in run.call_args_list] == [
        ["/bin/qemu", "--help"],
        ["/bin/qemu", "-machine", "?"],
        ["/bin/qemu", "-device", "?"],
    ]


@pytest.mark.parametrize("option", ["help", "mlist"])
def test_failure_names_the_question(option: str) -> None:
    failure = answer("cannot open shared object", failed=True)
    with (
        mock.patch.object(utils, "RunCmd", return_value=failure),
        pytest.raises(errors.HypervisorError, match=r"/bin/qemu -.* failed .*shared object"),
    ):
        binary.get_output("/bin/qemu", option)


def test_device_list_counts_in_spite_of_the_exit_status() -> None:
    with mock.patch.object(utils, "RunCmd", return_value=answer('name "ide-hd"\n', failed=True)):
        assert binary.probe("/bin/qemu").has_device("ide-hd")


def test_unknown_question() -> None:
    with pytest.raises(errors.ProgrammerError):
        binary.get_output("/bin/qemu", "version")


def test_a_switch_is_found_at_the_beginning_of_a_line_alone() -> None:
    facts = samples.old_facts("usage -early\n-late x  like -middle\n  -indented\n-other\n")

    assert [name for name in ("-early", "-late", "-middle", "-indented", "-other", "-la")
            if facts.has_switch(name)] == ["-late", "-other"]  # fmt: skip


def test_run_with_may_be_spread_over_lines() -> None:
    facts = samples.old_facts("-run-with [a=on|off]\n          [,chroot=dir][,user=name]\n-z\n")

    assert facts.runs_with("chroot")
    assert facts.runs_with("user")
    assert not samples.old_facts("-run-with [a=on]\n-runas user=x\n").runs_with("user")


def test_devices_are_whole_names() -> None:
    facts = samples.facts()

    assert facts.has_device("virtio-blk-pci")
    assert not facts.has_device("virtio-blk")
    assert not facts.has_device("virtio-blk.pci")


@pytest.mark.qemu
def test_the_real_qemu_answers() -> None:
    facts = binary.probe(str(paths.QEMU))

    assert facts.version[1] >= 7
    assert facts.default_machine.startswith("pc")
    assert facts.has_device("virtio-blk-pci")
    assert facts.has_switch("-qmp")
    assert facts.has_vhost
    assert facts.has_multiqueue
    assert not facts.needs_boot_flag
    assert binary.get_version(str(paths.QEMU)) == facts.version
    assert binary.get_default_machine(str(paths.QEMU)) == facts.default_machine
