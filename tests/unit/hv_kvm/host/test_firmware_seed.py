"""A blank disk is filled with firmware; one with anything else on it is left as it is."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ganeti import errors
from hypothesis import given, settings
from hypothesis import strategies as st

from ganeti_hv_kvm.hv_kvm import firmware
from ganeti_hv_kvm.hv_kvm.host import firmware_disk, firmware_seed

NAME = "web1.example.com"
MIB = 1 << 20
SIZE = 4 * MIB
CODE, VARIABLES = b"code" * 2048, b"vars" * 1024


@pytest.fixture(autouse=True)
def templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = (tmp_path / "CODE.fd", tmp_path / "VARS.fd")
    for path, content in zip(found, (CODE, VARIABLES), strict=True):
        path.write_bytes(content)
    missing = (str(found[0]), "/is/not/there")
    monkeypatch.setattr(firmware_seed, "TEMPLATES", [missing, tuple(map(str, found))])


def disk(name: str | None = "firmware", role: str | None = None) -> Any:
    return SimpleNamespace(name=name, role=role, hvinfo=None, dev_type="file", params={})


def blank(folder: Path) -> tuple[Any, str, None]:
    path = folder / "fw.img"
    with path.open("wb") as file:
        file.truncate(SIZE)
    chosen = disk(role="firmware")
    return chosen, str(path), None


def seeded() -> bytes:
    """What a blank disk is to hold."""
    content = bytearray(SIZE)
    content[:512] = firmware.PackSuperblock(firmware.ComputeLayout(len(CODE), len(VARIABLES)))
    content[MIB : MIB + len(CODE)] = CODE
    content[2 * MIB : 2 * MIB + len(VARIABLES)] = VARIABLES
    return bytes(content)


def test_the_disk_with_the_name_is_chosen() -> None:
    data, named = disk("data"), disk()
    firmware_seed.choose(NAME, [(data, "/d0", None), (named, "/fw", None)])
    assert named.hvinfo == {"role": "firmware"}
    assert data.hvinfo is None


def test_a_role_is_more_than_a_name() -> None:
    named, by_role = disk(), disk("data", role="firmware")
    firmware_seed.choose(NAME, [(named, "/d0", None), (by_role, "/fw", None)])
    assert (named.hvinfo, by_role.hvinfo) == (None, None)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([], "none of its disks has the name firmware"),
        (["Firmware", None, "data"], "none of its disks has the name firmware"),
        (["firmware", "firmware"], "2 of its disks have the name firmware"),
    ],
)
def test_none_or_two(names: list[str | None], says: str) -> None:
    with pytest.raises(errors.HypervisorError, match=says):
        firmware_seed.choose(NAME, [(disk(name), "/d", None) for name in names])


def test_a_blank_one_is_filled_and_then_left(tmp_path: Path) -> None:
    entry = blank(tmp_path)
    assert firmware_seed.planned(NAME, [entry])
    assert Path(entry[1]).read_bytes() == bytes(SIZE)
    firmware_seed.fill(NAME, [entry])
    assert Path(entry[1]).read_bytes() == seeded()
    assert firmware_seed.planned(NAME, [entry]) is None
    found = firmware_disk.look(NAME, [entry], {"disk_cache": "default"})
    assert found.layout["code"] == (MIB, len(CODE))


def test_the_superblock_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = blank(tmp_path)
    offsets, pwrite = [], os.pwrite

    def written(device: int, content: bytes, offset: int) -> int:
        offsets.append(offset)
        return pwrite(device, content[:3000], offset)  # the kernel may take less than it is given

    monkeypatch.setattr(os, "pwrite", written)
    firmware_seed.fill(NAME, [entry])
    assert offsets[-1] == 0
    assert 0 not in offsets[:-1]
    assert Path(entry[1]).read_bytes() == seeded()


@pytest.mark.parametrize("writes", range(5))
def test_one_that_broke_off_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    entry = blank(tmp_path)
    left, pwrite = writes, os.pwrite

    def failing(device: int, content: bytes, offset: int) -> int:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(5, "Input/output error")
        return pwrite(device, content[:2560], offset)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", failing)
        with pytest.raises(errors.HypervisorError, match=r"cannot be written: .*Input/output"):
            firmware_seed.fill(NAME, [entry])
    firmware_seed.fill(NAME, [entry])
    assert Path(entry[1]).read_bytes() == seeded()


@settings(deadline=None, max_examples=60)
@given(
    at=st.one_of(
        st.integers(0, SIZE - 1),
        st.integers(MIB - 600, MIB + len(CODE) + 600),
        st.integers(0, 600),
        st.integers(SIZE - 600, SIZE - 1),
    ),
    byte=st.integers(1, 255),
    begun=st.booleans(),
)
def test_whatever_else_is_on_it_stays(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int, begun: bool
) -> None:
    content = bytearray(seeded() if begun else SIZE)
    content[:512] = bytes(512)
    if content[at] == byte:
        return
    content[at] = byte
    entry = blank(tmp_path_factory.mktemp("disk"))
    Path(entry[1]).write_bytes(content)
    with pytest.raises(errors.HypervisorError, match=f"at byte {at // 512 * 512}\\."):
        firmware_seed.fill(NAME, [entry])
    assert Path(entry[1]).read_bytes() == content


def test_a_disk_that_does_not_fit(tmp_path: Path) -> None:
    for size, says in ((2 * MIB, "needs 3145728"), ((2 << 30) + 512, "is not taken for one")):
        entry = blank(tmp_path)
        os.truncate(entry[1], size)
        with pytest.raises(errors.HypervisorError, match=says):
            firmware_seed.fill(NAME, [entry])


def test_a_disk_as_some_policies_want_it_fits(tmp_path: Path) -> None:
    entry = blank(tmp_path)
    os.truncate(entry[1], 1 << 30)
    firmware_seed.fill(NAME, [entry])
    assert firmware_seed.planned(NAME, [entry]) is None


def test_no_firmware_on_this_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = blank(tmp_path)
    monkeypatch.setattr(firmware_seed, "TEMPLATES", [("/no/CODE.fd", "/no/VARS.fd")])
    with pytest.raises(errors.HypervisorError, match=r"/no/CODE\.fd are not there"):
        firmware_seed.fill(NAME, [entry])
    Path(entry[1]).write_bytes(seeded())
    firmware_seed.fill(NAME, [entry])


@pytest.mark.parametrize("code", [b"x" * (8 * MIB + 4096), b"x" * 4095], ids=["large", "odd"])
def test_firmware_that_qemu_would_refuse_is_not_written(tmp_path: Path, code: bytes) -> None:
    """Fault: the disk was filled, looked at, refused, and blank no more."""
    entry = blank(tmp_path)
    with Path(entry[1]).open("r+b") as file:
        file.truncate(32 * MIB)
    (tmp_path / "CODE.fd").write_bytes(code)
    with pytest.raises(
        errors.HypervisorError, match=r"CODE\.fd and .* whole sectors of 4096 bytes"
    ):
        firmware_seed.fill(NAME, [entry])
    assert Path(entry[1]).read_bytes() == bytes(32 * MIB)


def test_nothing_to_do_where_there_is_no_such_disk() -> None:
    assert firmware_seed.planned(NAME, [(disk(), "/d0", None)]) is None
    firmware_seed.fill(NAME, [(disk(), "/d0", None)])
