"""Verbs for devices, where no QEMU is needed to see what they do; Ganeti's names for them."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from ganeti import constants, errors, objects

from ganeti_hv_kvm.hv_kvm.monitor import QmpConnection
from ganeti_hv_kvm.hv_kvm.qemu.verbs import control, devices, disks

ALL = frozenset({"add-fd", "blockdev-add", "device_add", "getfd", "netdev_add"})


class Recorder:
    """Stands for a connection: keeps what is given, answers from a table."""

    version = (7, 2, 0)
    supported_commands = ALL

    def __init__(self, **answers: Any) -> None:
        self.given: list[tuple[str, Any]] = []
        self._answers = {name.replace("_qmp_", "-"): value for name, value in answers.items()}

    def execute_qmp(self, command: str, arguments: Any = None, **_: Any) -> Any:
        self.given.append((command, arguments))
        return self._answers.get(command, {})


def disk() -> Any:
    made = objects.Disk(uuid="d0", dev_type=constants.DT_RBD)
    made.hvinfo = {"driver": "virtio-blk-pci", "id": "disk-1", "bus": "pci.0", "addr": "0xd"}
    return made


def test_the_generation_of_ganeti_decides_on_the_form_of_a_disk() -> None:
    by_drive = hasattr(constants, "HT_DISCARD_DEFAULT")
    expected = disks.add_with_drive if by_drive else disks.add_with_node
    assert positional(QmpConnection.HotAddDisk)[1:] == positional(expected)[1:]


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (disks.add_with_node,
         ["qmp", "disk", "access_mode", "cache_writeback", "direct", "blockdevice"]),
        (disks.add_with_drive, ["qmp", "disk", "devid", "uri", "drive_add_fn"]),
        (QmpConnection.HotAddNic,
         ["self", "nic", "devid", "tapfds", "vhostfds", "features", "is_chrooted"]),
    ],
)  # fmt: skip
def test_arguments_as_in_the_original(function: Any, names: list[str]) -> None:
    assert positional(function) == names


def positional(function: Any) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    return [one.name for one in parameters if one.kind is not one.KEYWORD_ONLY]


def test_a_remote_storage_is_opened_by_qemu() -> None:
    recorder = Recorder()
    node = {"driver": "raw", "node-name": "disk-1", "file": {"driver": "rbd", "pool": "a"}}
    disks.add_with_node(recorder, disk(), constants.DISK_USERSPACE, False, False, node)
    card = {**disk().hvinfo, "drive": "disk-1", "write-cache": "off"}
    assert recorder.given == [("blockdev-add", node), ("device_add", card)]


def test_the_callers_description_of_a_node_stays_as_it_is(tmp_path) -> None:
    image = tmp_path / "image"
    image.touch()
    recorder = Recorder(**{"add-fd": {"fdset-id": 3}})
    file = {"driver": "file", "filename": str(image)}
    node = {"driver": "raw", "node-name": "disk-1", "file": file}
    disks.add_with_node(recorder, disk(), constants.DISK_KERNELSPACE, True, False, node)
    assert node["file"] == {"driver": "file", "filename": str(image)}
    commands = dict(recorder.given)
    assert commands["blockdev-add"]["file"]["filename"] == "/dev/fdset/3"
    assert commands["remove-fd"] == {"fdset-id": 3}
    assert [name for name, _ in recorder.given][-1] == "remove-fd"


def test_a_drive_is_added_by_the_callers_function() -> None:
    recorder = Recorder()
    added: list[str] = []
    disks.add_with_drive(recorder, disk(), "disk-1", "rbd:pool/image", added.append)
    assert added == ["rbd:pool/image"]
    assert recorder.given == [("device_add", {**disk().hvinfo, "drive": "disk-1"})]


@pytest.mark.parametrize(
    ("needs", "command"), [(devices.DISK_NEEDS, "add-fd"), (devices.NIC_NEEDS, "netdev_add")]
)
def test_a_qemu_that_lacks_a_command(needs: tuple[str, ...], command: str) -> None:
    recorder = Recorder()
    devices.check_commands(recorder, "device", needs)
    recorder.supported_commands = ALL - {command}
    with pytest.raises(errors.HotplugError, match=command):
        devices.check_commands(recorder, "device", needs)


@pytest.mark.parametrize(
    ("version", "schema", "expected"),
    [
        ((4, 0, 0), [], True),
        ((3, 1, 0), [{"name": "x"}], False),
        ((7, 2, 0), [{"name": "x"}, {"features": ["dynamic-auto-read-only"]}], True),
    ],
)
def test_dynamic_auto_read_only(version: Any, schema: Any, expected: bool) -> None:
    recorder = Recorder(**{"query-qmp-schema": schema})
    recorder.version = version
    assert control.has_dynamic_auto_read_only(recorder) is expected


def test_the_first_free_slot() -> None:
    slots = [{"slot": number} for number in (0, 1, 2, 4)]
    recorder = Recorder(**{"query-pci": [{"devices": slots}]})
    assert devices.first_free_pci_slot(recorder) == 3


def test_a_block_node_without_a_file_is_refused_before_anything_is_done() -> None:
    recorder = Recorder()
    with pytest.raises(errors.HotplugError, match="names no file"):
        disks.add_with_node(
            recorder, disk(), constants.DISK_KERNELSPACE, True, False, {"node-name": "disk-1"}
        )
    assert recorder.given == []
