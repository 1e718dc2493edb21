"""The layout of a firmware disk: upstream's bytes, and nothing believed of a foreign disk."""

from __future__ import annotations

import struct

import pytest
from ganeti import errors
from hypothesis import given
from hypothesis import strategies as st

from ganeti_hv_kvm.hv_kvm import firmware

MIB = 1 << 20


def test_debians_templates() -> None:
    layout = firmware.ComputeLayout(1966080, 131072)
    assert list(layout.items()) == [
        ("code", (MIB, 1966080)),
        ("vars", (3 * MIB, 131072)),
    ]
    assert firmware.RequiredDiskSize(layout) == 4 * MIB


def test_the_bytes_are_those_of_the_format() -> None:
    sector = firmware.PackSuperblock({"code": (MIB, 10), "vars": (2 * MIB, 20)})
    assert len(sector) == 512
    assert sector[:16] == b"GNTOVMF\0" + struct.pack("<II", 1, 2)
    assert sector[16:32] == b"code".ljust(16, b"\0")
    assert sector[32:48] == struct.pack("<QQ", MIB, 10)
    assert sector[48:80] == b"vars".ljust(16, b"\0") + struct.pack("<QQ", 2 * MIB, 20)
    assert not any(sector[80:])


@given(st.integers(1, 1 << 40), st.integers(1, 1 << 40))
def test_what_is_written_is_read(code: int, variables: int) -> None:
    layout = firmware.ComputeLayout(code, variables)
    assert firmware.UnpackSuperblock(firmware.PackSuperblock(layout)) == layout
    assert all(offset % MIB == 0 for offset, _ in layout.values())


@given(st.binary(max_size=600))
def test_any_bytes_are_a_layout_or_an_error(data: bytes) -> None:
    with pytest.raises(errors.HypervisorError):
        firmware.UnpackSuperblock(data)
    with pytest.raises(errors.HypervisorError):
        firmware.UnpackSuperblock(b"GNTOVMF\0" + struct.pack("<II", 1, 2) + data[:40])


GOOD = firmware.PackSuperblock({"code": (MIB, 10), "vars": (2 * MIB, 20)})


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "cut off: 0 bytes"),
        (GOOD[:40], "cut off: 2 regions, 40 bytes"),
        (bytes(512), "no firmware disk"),
        (GOOD[:8] + b"\2" + GOOD[9:], "version 2; known is 1"),
        (GOOD[:12] + b"\xff" + GOOD[13:], "255 regions"),
        (firmware.PackSuperblock({"code": (MIB, MIB + 1), "vars": (2 * MIB, 1)}), "overlaps"),
        (firmware.PackSuperblock({"code": (0, 1), "vars": (MIB, 1)}), "cannot lie at byte 0"),
        (firmware.PackSuperblock({"code": (MIB, 0), "vars": (2 * MIB, 1)}), "is empty"),
        (GOOD[:48] + GOOD[16:48] + GOOD[80:], "two regions 'code'"),
    ],
)
def test_what_is_no_layout(data: bytes, says: str) -> None:
    with pytest.raises(errors.HypervisorError, match=says):
        firmware.UnpackSuperblock(data)


def test_what_cannot_be_written() -> None:
    for wrong in ({"a" * 17: (MIB, 1)}, {str(index): (MIB, 1) for index in range(16)}):
        with pytest.raises(errors.HypervisorError, match="at most 15 regions"):
            firmware.PackSuperblock(wrong)
    with pytest.raises(errors.HypervisorError, match="neither may be empty"):
        firmware.ComputeLayout(0, 1)
