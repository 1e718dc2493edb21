"""Memory that a QEMU tells of is believed only within bounds."""

from __future__ import annotations

from typing import Any

import pytest

from ganeti_hv_kvm.errors import HypervisorError
from ganeti_hv_kvm.qmp_values import memory_devices

MEM = {"id": "vmem0", "size": 1 << 20, "requested-size": 2 << 20, "max-size": 4 << 20}


def test_memory_devices() -> None:
    dimm = {"type": "dimm", "data": {"id": "d0", "size": 7}}
    answer = [dimm, {"type": "virtio-mem", "data": {**MEM, "block-size": 1}}]
    assert memory_devices.read(answer) == [("vmem0", 1 << 20, 2 << 20, 4 << 20)]
    assert memory_devices.read([]) == []


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [3],
        [{"type": "virtio-mem"}],
        [{"type": "virtio-mem", "data": 3}],
        *[
            [{"type": "virtio-mem", "data": {**MEM, "size": size}}]
            for size in (None, "1", True, -1, 1.5, 1 << 70, 10**4300 - 1)
        ],
    ],
)
def test_memory_that_cannot_be(answer: Any) -> None:
    with pytest.raises(HypervisorError, match=r"another form|cannot be"):
        memory_devices.read(answer)
