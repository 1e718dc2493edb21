"""Runtime files without Ganeti: what ours writes is read, what is damaged is said."""

from __future__ import annotations

import pytest

from ganeti_hv_kvm.cli.node import runtime_file
from ganeti_hv_kvm.cli.node.runtime_file import DamagedError


def test_there_is_none(tmp_path):
    assert runtime_file.read(tmp_path / "x") is None


def test_a_whole_one(tmp_path):
    path = tmp_path / "x"
    path.write_text('[["q", 3], [{"mac": "m"}], {"acpi": true}, [[{"size": 1}, "/d", null]]]')
    found = runtime_file.read(path)
    assert found.command == ["q", "3"]
    assert found.nics == [{"mac": "m"}]
    assert found.parameters == {"acpi": True}
    assert found.disks == [runtime_file.Disk({"size": 1}, "/d", None)]


@pytest.mark.parametrize("text", ['[["q"], [], {}]', '[["q"], [], {}, {"x": 1}]'])
def test_older_and_other_forms(tmp_path, text):
    (tmp_path / "x").write_text(text)
    assert runtime_file.read(tmp_path / "x").disks == []


@pytest.mark.parametrize(
    "text",
    [
        "", "{}", "[]", "[1, 2, 3]", '[["q"], [], 3]', '[["q"], [3], {}]', '[[["q"]], [], {}]',
        '[["q"], [], {}, [3]]', '[["q"], [], {}, [[{}]]]', "[" * 100000, "\x00",
    ],
)  # fmt: skip
def test_damaged(tmp_path, text):
    (tmp_path / "x").write_text(text)
    with pytest.raises(DamagedError, match="is damaged"):
        runtime_file.read(tmp_path / "x")


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(IsADirectoryError):
        runtime_file.read(tmp_path)


def test_what_ganeti_writes_is_read(tmp_path):
    """The real writer's own form."""
    from ganeti import objects

    from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime

    nic = objects.NIC(mac="aa:00:00:00:00:01", nicparams={}, hvinfo={"id": "nic-1", "driver": "n"})
    disk = objects.Disk(
        dev_type="file", logical_id=("loop", "/x"), size=1, mode="rw", params={}, children=[],
        hvinfo={"id": "disk-1", "driver": "d"},
    )  # fmt: skip
    text = KVMRuntime([["q"], [nic], {"acpi": True}, [(disk, "/x", None)]]).serialize()
    path = tmp_path / "x"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    found = runtime_file.read(path)
    assert found.disks[0].values["hvinfo"] == {"id": "disk-1", "driver": "d"}
    assert found.nics[0]["hvinfo"]["id"] == "nic-1"
