"""The content of a runtime file."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ganeti import constants, errors, objects

from ganeti_hv_kvm.hv_kvm import kvm_runtime
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime
from harness import paths

NIC = {"mac": "aa:00:00:bf:2f:16", "nicparams": {}, "uuid": "003fc157-66a8-4e6d", "hvinfo": {}}
DISK = {"uuid": "7c079136-2573-4112", "size": 1024, "dev_type": "file", "params": {}, "hvinfo": {}}
HVPARAMS = {"nic_type": "paravirtual", "disk_type": "paravirtual"}
NEWER: dict[str, Any] = {
    **({"virtio_disk_iothreads": 0} if hasattr(constants, "HV_VIRTIO_DISK_IOTHREADS") else {}),
    **({"boot_type": "bios"} if hasattr(constants, "HV_BOOT_TYPE") else {}),
}


def content(*elements: Any) -> str:
    return json.dumps(list(elements))


WHOLE = content(["kvm", "-m", 1024], [NIC], HVPARAMS, [[DISK, "/link:0", None]])


def test_elements_by_name_index_and_unpacking() -> None:
    runtime = KVMRuntime.from_serialized(WHOLE)
    command, nics, hvparams, disks = runtime
    assert command is runtime.kvm_cmd is runtime[0]
    assert nics is runtime.kvm_nics is runtime[1]
    assert hvparams is runtime.up_hvp is runtime[2]
    assert disks is runtime.kvm_disks is runtime[3]
    assert len(runtime) == 4
    assert command == ["kvm", "-m", 1024]
    assert isinstance(nics[0], objects.NIC)
    (disk, link, uri) = disks[0]
    assert (disk.uuid, link, uri) == (DISK["uuid"], "/link:0", None)
    with pytest.raises(IndexError):
        _ = runtime[4]


def test_what_is_appended_is_serialized() -> None:
    runtime = KVMRuntime.from_serialized(WHOLE)
    runtime.kvm_nics.append(objects.NIC(uuid="second"))
    runtime.kvm_disks.append((objects.Disk(uuid="second", params={}), "/link:1", "rbd:x"))
    again = KVMRuntime.from_serialized(runtime.serialize())
    assert [nic.uuid for nic in again.kvm_nics] == [NIC["uuid"], "second"]
    assert [(disk.uuid, link, uri) for disk, link, uri in again.kvm_disks][1] == (
        "second",
        "/link:1",
        "rbd:x",
    )


def test_reading_and_writing_keeps_every_value() -> None:
    serialized = KVMRuntime.from_serialized(WHOLE).serialize()
    command, nics, hvparams, disks = json.loads(WHOLE)
    assert json.loads(serialized) == [command, nics, hvparams | NEWER, disks]
    assert KVMRuntime.from_serialized(serialized).serialize() == serialized


@pytest.mark.parametrize("generation", paths.GANETI_SUITE)
def test_ganetis_own_example(generation: str) -> None:
    example = (paths.GANETI_SUITE[generation] / "test/data/kvm_runtime.json").read_text()
    runtime = KVMRuntime.from_serialized(example)
    assert runtime.kvm_nics[0].hvinfo["addr"] == "0x8"
    assert runtime.kvm_disks[1][0].hvinfo["addr"] == "0xa"
    assert "-balloon" not in runtime.kvm_cmd
    assert "-balloon" in KVMRuntime.from_serialized(example, upgrade=False).kvm_cmd


def test_files_without_disks() -> None:
    three = content(["kvm"], [NIC], HVPARAMS)
    assert KVMRuntime.from_serialized(three).kvm_disks == []
    assert KVMRuntime.from_serialized(three, upgrade=False).kvm_disks == []


def test_names_of_ganeti_3_0() -> None:
    upgraded = kvm_runtime._UpgradeSerializedRuntime(content(["kvm", "-localtime"], [NIC], {}))
    assert upgraded == (["kvm", "-rtc", "base=localtime"], [NIC], NEWER, [])
    command, nics, _, _ = kvm_runtime._AnalyzeSerializedRuntime(WHOLE)
    assert (command[0], nics[0].uuid) == ("kvm", NIC["uuid"])


def test_name_of_ganeti_3_1() -> None:
    loaded = [["-localtime"], [], {}, []]
    assert kvm_runtime._upgrade_serialized_runtime(loaded)[0] == ["-rtc", "base=localtime"]


@pytest.mark.parametrize(
    ("damaged", "problem"),
    [
        ("", "not JSON"),
        (WHOLE[:-20], "not JSON"),
        ("{}", "not a list of 3 or 4 elements"),
        (content(["kvm"], []), "not a list of 3 or 4 elements"),
        (content(["kvm"], [], {}, [], 5), "not a list of 3 or 4 elements"),
        (content("kvm", [], {}, []), "command: no list, but a str"),
        (content(["kvm"], {}, {}, []), "NICs: no list, but a dict"),
        (content(["kvm"], [], [], []), "hypervisor parameters: no dict, but a list"),
        (content(["kvm"], [], {}, None), "disks: no list, but a NoneType"),
        (content(["kvm"], [NIC, 5], {}, []), "NIC 1: no dict, but a int"),
        (content(["kvm"], [], {}, [[DISK, "/link"]]), "disk 0: no list of a dict"),
        (content(["kvm"], [], {}, [["x", "/link", None]]), "disk 0: no list of a dict"),
        (content(["kvm"], [{**NIC, "wings": 2}], {}, []), "NIC 0 cannot be read"),
        (
            content(["kvm"], [{"uuid": "1-2", "pci": 5}], {}, []),
            "of an old form, and has no 'nic_type'",
        ),
    ],
)
def test_damage_is_named(damaged: str, problem: str) -> None:
    with pytest.raises(errors.HypervisorError, match="runtime file is damaged: .*" + problem):
        KVMRuntime.from_serialized(damaged)


def test_what_a_migration_added_is_left_out() -> None:
    added = json.dumps([*json.loads(WHOLE), {"run_state": "running"}])
    assert (
        KVMRuntime.from_serialized(added).serialize()
        == KVMRuntime.from_serialized(WHOLE).serialize()
    )


def test_a_runtime_has_four_elements() -> None:
    with pytest.raises(errors.ProgrammerError, match="4 elements, 3 were given"):
        KVMRuntime([[], [], {}])
