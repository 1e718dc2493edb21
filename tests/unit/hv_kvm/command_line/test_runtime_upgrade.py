"""Changes of the runtime file's format, each by itself and all together."""

from __future__ import annotations

import copy
from typing import Any
from unittest import mock

import pytest
from ganeti import constants
from hypothesis import given
from hypothesis import strategies as st

from ganeti_hv_kvm.hv_kvm.command_line import runtime_upgrade
from ganeti_hv_kvm.hv_kvm.ganeti import generation

HVPARAMS = {"nic_type": "paravirtual", "disk_type": "paravirtual"}
#: What a guest of before gets where Ganeti has the parameter.
NEWER: dict[str, Any] = {
    **({"virtio_disk_iothreads": 0} if hasattr(constants, "HV_VIRTIO_DISK_IOTHREADS") else {}),
    **({"boot_type": "bios"} if hasattr(constants, "HV_BOOT_TYPE") else {}),
}


def command_after(change: Any, *command: Any) -> list[Any]:
    runtime: list[Any] = [list(command), [], {}, []]
    change(runtime)
    result: list[Any] = runtime[0]
    return result


def test_disks_are_added() -> None:
    runtime: list[Any] = [[], [], {}]
    runtime_upgrade.add_disks(runtime)
    runtime_upgrade.add_disks(runtime)
    assert runtime == [[], [], {}, []]


def test_nics_get_uuids_of_their_own() -> None:
    runtime: list[Any] = [[], [{}, {"uuid": "kept"}, {}], {}, []]
    runtime_upgrade.add_nic_uuids(runtime)
    uuids = [nic["uuid"] for nic in runtime[1]]
    assert uuids[1] == "kept"
    assert len(set(uuids)) == 3


def test_pci_slots_become_hvinfo() -> None:
    nic = {"uuid": "003fc157-66a8-4e6d-8b7e-ec4f69751396", "pci": 6}
    disk = {"uuid": "9f5c5bd4-6f60-480b-acdc-9bb1a4b7df79", "pci": 10}
    runtime: list[Any] = [[], [nic, {"uuid": "x"}], HVPARAMS, [[disk, "/link", None]]]
    runtime_upgrade.replace_pci_slots(runtime)
    assert nic == {
        "uuid": "003fc157-66a8-4e6d-8b7e-ec4f69751396",
        "hvinfo": {
            "driver": "virtio-net-pci",
            "id": "hotnic-003fc157-pci-6",
            "addr": "0x6",
            "bus": "pci.0",
        },
    }
    assert disk["hvinfo"] == {
        "driver": "virtio-blk-pci",
        "id": "hotdisk-9f5c5bd4-pci-10",
        "addr": "0xa",
        "bus": "pci.0",
    }
    assert runtime[1][1]["hvinfo"] == {}


def test_hvinfo_that_is_there_stays() -> None:
    nic = {"uuid": "x", "hvinfo": {"id": "nic-x"}}
    runtime_upgrade.replace_pci_slots([[], [nic], HVPARAMS, []])
    assert nic["hvinfo"] == {"id": "nic-x"}


def test_localtime() -> None:
    change = runtime_upgrade.replace_localtime
    assert command_after(change, "kvm", "-localtime", "-m") == [
        "kvm",
        "-rtc",
        "base=localtime",
        "-m",
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["-balloon", "virtio"], ["-device", "virtio-balloon"]),
        (
            ["-balloon", "virtio,id=b,bus=pci.0,addr=0x3", "-m", 5],
            ["-device", "virtio-balloon,id=b,bus=pci.0,addr=0x3", "-m", 5],
        ),
        (["-balloon", "none", "-S"], ["-S"]),
        (["-balloon"], ["-balloon"]),
        (["-name", "x"], ["-name", "x"]),
    ],
)
def test_balloon(old: list[Any], new: list[Any]) -> None:
    assert command_after(runtime_upgrade.replace_balloon, *old) == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ([":1"], ["-vnc", ":1"]),
        (
            [":1,tls"],
            [
                "-object",
                "tls-creds-anon,id=vnctls0,endpoint=server",
                "-vnc",
                ":1,tls-creds=vnctls0",
            ],
        ),
        (
            [":1,password,tls,x509=/certs"],
            [
                "-object",
                "tls-creds-x509,id=vnctls0,endpoint=server,dir=/certs,verify-peer=no",
                "-vnc",
                ":1,password,tls-creds=vnctls0",
            ],
        ),
        (
            [":1,tls,x509verify=/certs"],
            [
                "-object",
                "tls-creds-x509,id=vnctls0,endpoint=server,dir=/certs,verify-peer=yes",
                "-vnc",
                ":1,tls-creds=vnctls0",
            ],
        ),
    ],
)
def test_vnc_tls(old: list[str], new: list[str]) -> None:
    assert command_after(runtime_upgrade.replace_vnc_tls, "-vnc", *old) == new


def test_chroot_and_discard_need_no_vnc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "DIALECT", generation.BLOCKDEV)
    monkeypatch.setattr(generation, "DISCARD_DEFAULT", None)
    monkeypatch.setattr(constants, "HT_VALID_DISCARD_TYPES", frozenset({"ignore", "unmap"}))
    runtime: list[Any] = [["kvm", "-chroot", "/x", "-S"], [], {"disk_discard": "default"}, []]
    runtime_upgrade.upgrade(runtime)
    assert runtime[0] == ["kvm", "-S"]
    assert runtime[2] == {"disk_discard": "ignore"} | NEWER


def test_chroot_and_discard_stay_where_ganeti_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "DIALECT", generation.DRIVE)
    monkeypatch.setattr(generation, "DISCARD_DEFAULT", "default")
    runtime: list[Any] = [["kvm", "-chroot", "/x"], [], {"disk_discard": "default"}, []]
    runtime_upgrade.upgrade(runtime)
    assert runtime[0] == ["kvm", "-chroot", "/x"]
    assert runtime[2] == {"disk_discard": "default"} | NEWER


def test_a_discard_that_is_valid_stays() -> None:
    for value in constants.HT_VALID_DISCARD_TYPES:
        runtime: list[Any] = [[], [], {"disk_discard": value}, []]
        runtime_upgrade.upgrade(runtime)
        assert runtime[2] == {"disk_discard": value} | NEWER


PLACES = st.fixed_dictionaries(
    {}, optional={"pci": st.integers(0, 31), "hvinfo": st.just({"driver": "virtio-net-pci"})}
)
NICS = st.lists(
    st.builds(
        lambda uuid, place: uuid | place,
        st.fixed_dictionaries({}, optional={"uuid": st.uuids().map(str)}),
        PLACES,
    ),
    max_size=3,
)
DISKS = st.lists(
    st.builds(
        lambda uuid, place: [{"uuid": uuid} | place, "/link", None], st.uuids().map(str), PLACES
    ),
    max_size=3,
)
VNC = st.builds(
    ",".join,
    st.tuples(
        st.sampled_from([":1", "127.0.0.1:5", "unix:/run/vnc"]),
        st.sampled_from(["password", "websocket=5", "tls", "tls,x509=/c", "tls,x509verify=/c"]),
    ),
)
OPTIONS = st.one_of(
    st.just(["-localtime"]),
    st.builds(lambda v: ["-balloon", v], st.sampled_from(["virtio", "virtio,id=b", "none"])),
    st.builds(lambda v: ["-vnc", v], VNC),
    st.builds(lambda v: ["-chroot", v], st.sampled_from(["/a", "/b"])),
    st.sampled_from([["-m", 1024], ["-S"], ["-name", "guest"], ["-usb"]]),
)
RUNTIMES = st.builds(
    lambda options, nics, hvparams, disks: [
        ["kvm", *(word for option in options for word in option)],
        nics,
        HVPARAMS | hvparams,
        *disks,
    ],
    st.lists(OPTIONS, max_size=6),
    NICS,
    st.fixed_dictionaries(
        {}, optional={"disk_discard": st.sampled_from(["default", "ignore", "unmap", ""])}
    ),
    st.one_of(st.just([]), DISKS.map(lambda disks: [disks])),
)


@given(runtime=RUNTIMES)
def test_upgrading_twice_is_upgrading_once(runtime: list[Any]) -> None:
    once = runtime_upgrade.upgrade(copy.deepcopy(runtime))
    assert runtime_upgrade.upgrade(copy.deepcopy(once)) == once
    assert len(once) == 4


@given(runtime=RUNTIMES, order=st.permutations(runtime_upgrade.CHANGES))
def test_the_order_of_changes_does_not_matter(runtime: list[Any], order: list[Any]) -> None:
    straight, shuffled = copy.deepcopy(runtime), copy.deepcopy(runtime)
    with mock.patch("ganeti.utils.NewUUID", return_value="c0ffee-new"):
        runtime_upgrade.upgrade(straight)
        for change in order:
            change(shuffled)
    assert shuffled == straight
