"""PCI devices of a guest there and here."""

from __future__ import annotations

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.migration import hardware

ANSWER = [
    {
        "bus": 0,
        "devices": [
            {"slot": 0, "function": 0, "id": {"vendor": 0x8086, "device": 0x1237}, "qdev_id": ""},
            {"slot": 13, "function": 1, "id": {"vendor": 0x1AF4, "device": 0x1001}, "qdev_id": "d"},
        ],
    }
]


class Qmp:
    """A QEMU that gives one answer."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def execute_qmp(self, command: str) -> object:
        assert command == "query-pci"
        return self._answer


def test_what_qemu_tells():
    assert hardware.ask(Qmp(ANSWER)) == {"00.0": "8086:1237", "0d.1": "1af4:1001 d"}


@pytest.mark.parametrize(
    "answer", [None, [], {}, [{}], [{"devices": 7}], [{"devices": [7]}], [{"devices": [{}]}]]
)
def test_nonsense_is_an_error_of_the_family(answer):
    with pytest.raises(errors.HypervisorError, match="query-pci"):
        hardware.ask(Qmp(answer))


@pytest.mark.parametrize(
    "told",
    [
        *(None, [], {}, "x", {"0d.0": 7}, {"0d.0": "x" * 101}, {7: "x"}, {"0d.0\nforged": "x"}),
        {f"{number:02x}.0": "x" for number in range(257)},
    ],
)
def test_a_source_that_tells_nothing_that_can_be_compared(told):
    assert hardware.of_source(told) is None


def test_the_same_devices_by_other_names():
    hardware.check({"0d.0": "1af4:1001 a"}, {"0d.0": "1af4:1001 b"})


@pytest.mark.parametrize(
    ("source", "here", "words"),
    [
        ({"0d.0": "1af4:1001 a"}, {}, "at 0d.0 it has '1af4:1001 a', and here would be 'nothing'"),
        ({}, {"0d.0": "1af4:1001"}, "at 0d.0 it has 'nothing', and here would be '1af4:1001'"),
        ({"0d.0": "1:2"}, {"0d.0": "1:3"}, "has '1:2', and here would be '1:3'"),
    ],
)
def test_other_devices_are_named(source, here, words):
    with pytest.raises(errors.HypervisorError, match=words):
        hardware.check(source, here)
