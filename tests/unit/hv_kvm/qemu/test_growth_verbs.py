"""What a QEMU tells of vCPUs and memory devices is believed only within bounds."""

from __future__ import annotations

from typing import Any

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.qemu.verbs import growth

PROPS = {"socket-id": 0, "core-id": 2, "thread-id": 0}
FREE = {"props": PROPS, "vcpus-count": 1, "type": "qemu64-x86_64-cpu"}
AT_START = {**FREE, "props": {**PROPS, "core-id": 0}, "qom-path": "/machine/unattached/device[0]"}
ADDED = {**FREE, "props": {**PROPS, "core-id": 1}, "qom-path": "/machine/peripheral/cpu-7"}


def test_places_come_in_their_order() -> None:
    places = growth.read_places([FREE, ADDED, AT_START])
    assert [place.props["core-id"] for place in places] == [0, 1, 2]
    assert [place.added_as for place in places] == [None, "cpu-7", None]
    assert [place.qom_path is None for place in places] == [False, False, True]


def test_a_device_has_its_place_and_an_id_of_its_own() -> None:
    (free,) = growth.read_places([FREE])
    assert free.device == {"driver": "qemu64-x86_64-cpu", "id": "cpu-0-2-0", **PROPS}
    (added,) = growth.read_places([ADDED])
    assert added.device["id"] == "cpu-7"
    in_dies = {**FREE, "props": {**PROPS, "die-id": 1, "node-id": 3}}
    (place,) = growth.read_places([in_dies])
    assert place.device["id"] == "cpu-0-1-2-0"
    assert place.device["node-id"] == 3


@pytest.mark.parametrize(
    "entry",
    [
        None,
        7,
        {},
        {**FREE, "props": {}},
        {**FREE, "props": {"node-id": 0}},
        {**FREE, "props": {**PROPS, "driver": 1}},
        {**FREE, "props": {**PROPS, "core-id": "2"}},
        {**FREE, "props": {**PROPS, "core-id": True}},
        {**FREE, "props": {**PROPS, "core-id": -1}},
        {**FREE, "props": {**PROPS, "core-id": 1 << 70}},
        {**FREE, "type": "virtio-blk-pci"},
        {**FREE, "type": "x,id=y-cpu"},
        {**FREE, "qom-path": "/machine/peripheral/a\nb"},
        {**FREE, "qom-path": 3},
    ],
)
def test_nonsense_is_not_given_back_to_qemu(entry: Any) -> None:
    with pytest.raises(errors.HypervisorError, match="cannot be"):
        growth.read_places([AT_START, entry])


@pytest.mark.parametrize("answer", [None, {}, "x", [FREE] * 9000])
def test_another_form_of_answer(answer: Any) -> None:
    with pytest.raises(errors.HypervisorError, match="another form"):
        growth.read_places(answer)
