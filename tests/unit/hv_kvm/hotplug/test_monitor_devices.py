"""The commands as methods of QmpConnection, where QEMU itself is not needed to see what they do."""

from __future__ import annotations

import contextlib
import inspect
from typing import Any

import pytest
from ganeti import constants, errors, objects

from ganeti_hv_kvm.hv_kvm.monitor import QmpConnection
from ganeti_hv_kvm.hv_kvm.qemu.device_commands import BlockdevDeviceCommands, DriveDeviceCommands

ALL = frozenset({"add-fd", "blockdev-add", "device_add", "getfd", "netdev_add"})


class Recorder:
    """Stands for a connection: keeps what is given, answers from a table."""

    version = (7, 2, 0)
    supported_commands = ALL

    def __new__(cls, **_: Any) -> Any:
        return super().__new__(cls, "/nonexistent")  # type: ignore[call-arg]

    def __init__(self, **answers: Any) -> None:
        self.given: list[tuple[str, Any]] = []
        self._answers = {name.replace("_qmp_", "-"): value for name, value in answers.items()}

    @contextlib.contextmanager
    def _open(self):
        yield

    def execute_qmp(self, command: str, arguments: Any = None, **_: Any) -> Any:
        self.given.append((command, arguments))
        return self._answers.get(command, {})


class BlockdevRecorder(Recorder, BlockdevDeviceCommands):
    pass


class DriveRecorder(Recorder, DriveDeviceCommands):
    pass


def disk() -> Any:
    made = objects.Disk(uuid="d0", dev_type=constants.DT_RBD)
    made.hvinfo = {"driver": "virtio-blk-pci", "id": "disk-1", "bus": "pci.0", "addr": "0xd"}
    return made


def test_the_generation_of_ganeti_decides_on_the_form_of_a_disk() -> None:
    known = hasattr(constants, "HT_DISCARD_DEFAULT")
    expected = DriveDeviceCommands if known else BlockdevDeviceCommands
    assert issubclass(QmpConnection, expected)


@pytest.mark.parametrize(
    ("method", "names"),
    [
        (BlockdevDeviceCommands.HotAddDisk,
         ["disk", "access_mode", "cache_writeback", "direct", "blockdevice"]),
        (DriveDeviceCommands.HotAddDisk, ["disk", "devid", "uri", "drive_add_fn"]),
        (QmpConnection.HotAddNic,
         ["nic", "devid", "tapfds", "vhostfds", "features", "is_chrooted"]),
    ],
)  # fmt: skip
def test_arguments_as_in_the_original(method: Any, names: list[str]) -> None:
    parameters = inspect.signature(method).parameters.values()
    positional = [one.name for one in parameters if one.kind is not one.KEYWORD_ONLY]
    assert positional == ["self", *names]


def test_a_remote_storage_is_opened_by_qemu() -> None:
    recorder = BlockdevRecorder()
    node = {"driver": "raw", "node-name": "disk-1", "file": {"driver": "rbd", "pool": "a"}}
    recorder.HotAddDisk(disk(), constants.DISK_USERSPACE, False, False, node)
    card = {**disk().hvinfo, "drive": "disk-1", "write-cache": "off"}
    assert recorder.given == [("blockdev-add", node), ("device_add", card)]


def test_the_callers_description_of_a_node_stays_as_it_is(tmp_path) -> None:
    image = tmp_path / "image"
    image.touch()
    recorder = BlockdevRecorder(**{"add-fd": {"fdset-id": 3}})
    file = {"driver": "file", "filename": str(image)}
    node = {"driver": "raw", "node-name": "disk-1", "file": file}
    recorder.HotAddDisk(disk(), constants.DISK_KERNELSPACE, True, False, node)
    assert node["file"] == {"driver": "file", "filename": str(image)}
    commands = dict(recorder.given)
    assert commands["blockdev-add"]["file"]["filename"] == "/dev/fdset/3"
    assert commands["remove-fd"] == {"fdset-id": 3}
    assert [name for name, _ in recorder.given][-1] == "remove-fd"


def test_a_drive_is_added_by_the_callers_function() -> None:
    recorder = DriveRecorder()
    added: list[str] = []
    recorder.HotAddDisk(disk(), "disk-1", "rbd:pool/image", added.append)
    assert added == ["rbd:pool/image"]
    assert recorder.given == [("device_add", {**disk().hvinfo, "drive": "disk-1"})]


@pytest.mark.parametrize(
    ("check", "command"),
    [("CheckDiskHotAddSupport", "add-fd"), ("CheckNicHotAddSupport", "netdev_add")],
)
def test_a_qemu_that_lacks_a_command(check: str, command: str) -> None:
    recorder = BlockdevRecorder()
    getattr(recorder, check)()
    recorder.supported_commands = ALL - {command}
    with pytest.raises(errors.HotplugError, match=command):
        getattr(recorder, check)()


@pytest.mark.parametrize(
    ("version", "schema", "expected"),
    [
        ((4, 0, 0), [], True),
        ((3, 1, 0), [{"name": "x"}], False),
        ((7, 2, 0), [{"name": "x"}, {"features": ["dynamic-auto-read-only"]}], True),
    ],
)
def test_dynamic_auto_read_only(version: Any, schema: Any, expected: bool) -> None:
    recorder = BlockdevRecorder(**{"query-qmp-schema": schema})
    recorder.version = version
    assert recorder.HasDynamicAutoReadOnly() is expected


def test_the_first_free_slot() -> None:
    slots = [{"slot": number} for number in (0, 1, 2, 4)]
    recorder = BlockdevRecorder(**{"query-pci": [{"devices": slots}]})
    assert recorder.GetFreePCISlot() == 3
