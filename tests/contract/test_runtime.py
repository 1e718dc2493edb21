"""Runtime files: either module reads what the other wrote, and upgrades old ones alike."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from contract import both_modules
from harness import paths

UUIDS = ["003fc157-66a8-4e6d-8b7e-ec4f69751396", "9f5c5bd4-6f60-480b-acdc-9bb1a4b7df79"]
HVINFO = {"driver": "virtio-net-pci", "id": "nic-003fc157", "bus": "pci.0", "addr": "0x8"}
NICS: list[list[dict[str, Any]]] = [
    [],
    [{"uuid": UUIDS[0], "mac": "aa:00:00:bf:2f:16", "nicparams": {"link": "br0"}, "pci": 7}],
    [{"mac": "aa:00:00:bf:2f:16", "nicparams": {}}, {"mac": "aa:00:00:00:00:01", "pci": 31}],
    [{"uuid": UUIDS[0], "hvinfo": HVINFO, "nicparams": {}}],
]
DISK = {"uuid": UUIDS[1], "dev_type": "plain", "size": 1024, "mode": "rw", "params": {}}
DISKS: list[list[list[Any]]] = [
    [],
    [[DISK, "/run/disk:0", None]],
    [[DISK | {"pci": 10}, "/run/disk:0", "rbd:a"], [DISK | {"hvinfo": {}}, "/run/disk:1", None]],
]
OPTIONS: list[list[Any]] = [
    ["-m", 1024, "-smp", "1,cores=2"],
    ["-localtime"],
    ["-balloon", "virtio"],
    ["-balloon", "virtio,id=balloon,bus=pci.0,addr=0x3"],
    ["-vnc", ":5100"],
    ["-vnc", "127.0.0.1:5,password,tls"],
    ["-vnc", ":5,tls,x509=/certs"],
    ["-vnc", ":5,tls,x509verify=/certs"],
]
MODELS = [
    {"nic_type": "paravirtual", "disk_type": "paravirtual"},
    {"nic_type": "e1000", "disk_type": "ide"},
]


def runtimes() -> Iterator[list[Any]]:
    for options in itertools.combinations(OPTIONS, 2):
        command = ["/usr/bin/kvm", "-name", "guest", *options[0], *options[1], "-S"]
        for nics, disks, models in itertools.product(NICS, DISKS, MODELS):
            hvparams = models | {"acpi": True, "disk_discard": "ignore"}
            yield copy.deepcopy([command, nics, hvparams, disks])


def ask(generation: str, what: str, given: list[list[Any]]) -> list[Any]:
    requests: list[Any] = [(what, [json.dumps(runtime)]) for runtime in given]
    return both_modules.compare(generation, requests)


# Options that come twice, where the original changes the first alone: no Ganeti wrote that.
def once(runtime: list[Any]) -> bool:
    return all(runtime[0].count(option) <= 1 for option in ("-balloon", "-vnc"))


@pytest.mark.parametrize("generation", both_modules.GENERATIONS)
@pytest.mark.parametrize("what", ["upgrade", "read_and_write"])
def test_same_upgrade(generation: str, what: str) -> None:
    given = [runtime for runtime in runtimes() if once(runtime)]
    compared = ask(generation, what, given)
    assert [row for row in compared if row[1] != row[2]] == []
    assert all("result" in ours for _, _, ours in compared)
    assert len(compared) > 300


@pytest.mark.parametrize("generation", both_modules.GENERATIONS)
def test_ganetis_own_example(generation: str) -> None:
    example = (paths.GANETI_SUITE[generation] / "test/data/kvm_runtime.json").read_text()
    ((_, original, ours),) = both_modules.compare(generation, [("read_and_write", [example])])
    assert ours == original
    # Either module reads back what ours wrote.
    again = both_modules.compare(generation, [("read_and_write", [ours["result"]])])
    assert again[0][1] == again[0][2] == ours


PLAIN: list[Any] = [["kvm"], [], MODELS[0] | {"disk_discard": "default"}, []]


def test_files_of_ganeti_3_0_under_3_1() -> None:
    """Ours upgrades with and without VNC; the original misses what is not beside -vnc."""
    without = [["kvm", "-chroot", "/c", "-S"], *copy.deepcopy(PLAIN[1:])]
    with_vnc = [["kvm", "-chroot", "/c", "-vnc", ":1"], *copy.deepcopy(PLAIN[1:])]
    (_, original, ours), (_, original_vnc, ours_vnc) = ask("3.1", "upgrade", [without, with_vnc])
    assert original["result"][0] == ["kvm", "-chroot", "/c", "-S"]
    assert original["result"][2]["disk_discard"] == "default"
    assert original_vnc["result"][2]["disk_discard"] == "ignore"
    assert ours["result"][0] == ["kvm", "-S"]
    assert ours_vnc["result"][0] == ["kvm", "-vnc", ":1"]
    assert ours["result"][2]["disk_discard"] == ours_vnc["result"][2]["disk_discard"] == "ignore"


def test_files_of_ganeti_3_0_stay_as_they_are_there() -> None:
    given = [["kvm", "-chroot", "/c", "-S"], *copy.deepcopy(PLAIN[1:])]
    ((_, original, ours),) = ask("3.0", "upgrade", [given])
    assert ours == original
    assert ours["result"] == given


@pytest.mark.parametrize("generation", both_modules.GENERATIONS)
def test_files_without_disks(generation: str) -> None:
    """3.1's class fails on the oldest files."""
    ((_, original, ours),) = ask(generation, "read_and_write", [PLAIN[:3]])
    if generation == "3.1":
        assert original["error"] == "IndexError"
    else:
        assert original == ours
    assert json.loads(ours["result"])[3] == []


@pytest.mark.parametrize("generation", both_modules.GENERATIONS)
def test_intended_differences(generation: str) -> None:
    """-balloon none is no balloon; certificates without "tls" must not leave VNC in the clear."""
    none = [["kvm", "-balloon", "none"], *copy.deepcopy(PLAIN[1:])]
    clear = [["kvm", "-vnc", ":1,x509=/certs"], *copy.deepcopy(PLAIN[1:])]
    (_, original, ours), (_, original_vnc, ours_vnc) = ask(generation, "upgrade", [none, clear])
    assert original["result"][0] == ["kvm", "-device", "virtio-balloon"]
    assert ours["result"][0] == ["kvm"]
    assert original_vnc["result"][0][-1] == ":1"
    assert ours_vnc["result"][0][-1] == ":1,tls-creds=vnctls0"


@pytest.mark.parametrize("generation", both_modules.GENERATIONS)
@pytest.mark.parametrize(
    "text", ["", "[", "{}", "[[], []]", '["kvm", 5, {}, []]', '[["kvm"], [5], {}, []]']
)
def test_a_damaged_file_is_an_error_of_the_hypervisor(generation: str, text: str) -> None:
    # An empty text would make the class read the file.
    request = ("read_and_write", [text or " "])
    ((_, original, ours),) = both_modules.compare(generation, [request])
    assert ours["error"] == "HypervisorError"
    assert "runtime file is damaged" in ours["text"]
    assert original["error"] != "HypervisorError"
