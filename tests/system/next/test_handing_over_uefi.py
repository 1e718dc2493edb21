"""Guests with UEFI that upstream's module started, with its mappings, are ours to go on with.

What is stored has upstream's words, /dev/mapper/NAME-ovmf-*; upstream's module maps the regions of
the firmware disk there before each start, ours reads them where they lie. The mappings are block
devices of this kernel (harness/device_mapper.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import device_mapper, firmware_disk, migrants, node, paths, two_nodes
from system.migration.conftest import make, qemu

__all__ = ["make", "qemu"]

pytestmark = pytest.mark.long

MIB = 1 << 20
REGIONS = ("code", "vars")
UEFI = {"boot_type": "uefi"}
EACH_QEMU = pytest.mark.parametrize(
    "qemu",
    [paths.QEMU, paths.QEMU_10],
    ids=["7.2", "10.0"],
    indirect=True,
)


@pytest.fixture(scope="module")
def nodes(bridge: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[two_nodes.Pair]:
    """Each with a /dev/mapper of its own, as two machines have."""
    path = device_mapper.install(tmp_path_factory.mktemp("bin"))
    ours = ("next", node.OURS)
    # a guest without a kernel does not hear that it is to shut down
    settings = {"PATH": path, "GANETI_HV_KVM_REBOOT_TIMEOUT": "0"}
    with two_nodes.pair(ours, ours, within=device_mapper.ALONE, **settings) as made:
        yield made


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Path]:
    """The firmware disk; when its guest has gone nothing lies on it."""
    file = tmp_path / "firmware.img"
    yield file
    assert device_mapper.detach(file) == []


@pytest.fixture
def theirs(nodes: two_nodes.Pair, image: Path, make: Any) -> Any:
    """A guest on the source that upstream's module started."""
    wanted = make(nodes, disk_folder=str(image.parent), start="StartAsUpstream", **UEFI)
    assert flash(nodes.source, wanted) == mapped(wanted)
    assert mappings(nodes.source, wanted) == set(REGIONS)
    assert len(device_mapper.loops(image)) == 1
    return wanted


def flash(remote: two_nodes.RemoteNode, wanted: two_nodes.Wanted) -> dict[str, tuple[str, int]]:
    """Region -> file and offset of the flash chip, as QEMU has it."""
    told = remote.qemu(wanted["name"], "query-named-block-nodes")
    found = {}
    for one in told:
        if one["node-name"].startswith("ovmf-"):
            file, plain = one["file"], one["file"].startswith("json:")
            opened = json.loads(file.removeprefix("json:")) if plain else {}
            name = opened["file"]["filename"] if opened else file
            found[one["node-name"].removeprefix("ovmf-")] = (name, opened.get("offset", 0))
    return found


def mapped(wanted: two_nodes.Wanted) -> dict[str, tuple[str, int]]:
    return {name: (f"/dev/mapper/{wanted['name']}-ovmf-{name}", 0) for name in REGIONS}


def in_place(wanted: two_nodes.Wanted) -> dict[str, tuple[str, int]]:
    image = f"{wanted['disk_folder']}/firmware.img"
    return {"code": (image, MIB), "vars": (image, 3 * MIB)}


def mappings(remote: two_nodes.RemoteNode, wanted: two_nodes.Wanted) -> set[str]:
    """The regions of a guest that are mapped on a node."""
    found = remote.seen("/dev/mapper").iterdir()
    before = f"{wanted['name']}-ovmf-"
    return {one.name.removeprefix(before) for one in found if one.name.startswith(before)}


def stored_words(remote: two_nodes.RemoteNode, wanted: two_nodes.Wanted) -> list[str]:
    """What the runtime file has of the flash chips."""
    path = remote.run_folder / "conf" / f"{wanted['name']}.runtime"
    command = json.loads(path.read_text())[0]
    blocks = [command[at + 1] for at, word in enumerate(command) if word == "-blockdev"]
    return [one for one in blocks if "ovmf-" in one]


def upstreams_words(wanted: two_nodes.Wanted) -> list[str]:
    device = f"file.driver=host_device,file.filename=/dev/mapper/{wanted['name']}-ovmf"
    return [
        f"driver=raw,node-name=ovmf-code,read-only=on,{device}-code",
        f"driver=raw,node-name=ovmf-vars,{device}-vars",
    ]


@EACH_QEMU
def test_it_is_listed_rebooted_and_stopped(nodes: two_nodes.Pair, theirs: Any, image: Path) -> None:
    source, name = nodes.source, theirs["name"]
    assert source.call("ListInstances") == [name]
    assert source.call("GetAllInstancesInfo") == [name]
    old = source.pid(name)

    source.call("RebootInstance", theirs)
    assert source.pid(name) != old
    assert source.run_state(name) == "running"
    # what held the disk is gone, and the regions are read where they lie
    assert flash(source, theirs) == in_place(theirs)
    assert mappings(source, theirs) == set()
    assert device_mapper.loops(image) == []
    assert stored_words(source, theirs) == upstreams_words(theirs)
    code = (firmware_disk.OVMF / firmware_disk.PLAIN[0]).read_bytes()
    assert firmware_disk.region(image, "code") == code

    source.call("StopInstance", theirs)
    source.call("CleanupInstance", theirs)
    assert source.call("ListInstances") == []
    assert source.files() == []


@EACH_QEMU
def test_it_is_stopped_with_its_mappings(nodes: two_nodes.Pair, theirs: Any, image: Path) -> None:
    nodes.source.call("StopInstance", theirs)
    assert mappings(nodes.source, theirs) == set()
    assert device_mapper.loops(image) == []
    nodes.source.call("CleanupInstance", theirs)
    assert nodes.source.files() == []


@EACH_QEMU
def test_it_migrates_and_one_of_ours_goes_to_upstreams(nodes: two_nodes.Pair, theirs: Any) -> None:
    name = theirs["name"]
    nodes.migrate(theirs)
    assert nodes.run_states(name) == ("gone", "running")
    assert mappings(nodes.source, theirs) == set()
    assert flash(nodes.target, theirs) == in_place(theirs)
    assert mappings(nodes.target, theirs) == set()
    assert stored_words(nodes.target, theirs) == upstreams_words(theirs)

    # and back, to a node whose module maps the regions: what ours tells it is all that it needs
    back = nodes.reversed()
    info = back.information(theirs)
    back.target.call("AcceptAsUpstream", back.of(theirs), info, back.address)
    back.source.call("MigrateInstance", back.of(theirs), back.address, True)
    assert back.wait(theirs)[-1]["status"] == "completed"
    back.finish(theirs, info)
    assert back.run_states(name) == ("gone", "running")
    assert flash(back.target, theirs) == mapped(theirs)
    assert mappings(back.target, theirs) == set(REGIONS)
    assert stored_words(back.target, theirs) == upstreams_words(theirs)
    migrants.end(back.target, theirs)
    assert mappings(back.target, theirs) == set()


def test_an_arrival_that_is_given_up_leaves_no_mapping(
    nodes: two_nodes.Pair, image: Path, make: Any
) -> None:
    """A target whose upstream's module had mapped the regions is cleaned up by ours."""
    wanted = make(nodes, disk_folder=str(image.parent), **UEFI)
    info = nodes.information(wanted)
    nodes.target.call("AcceptAsUpstream", nodes.of(wanted), info, nodes.address)
    assert mappings(nodes.target, wanted) == set(REGIONS)
    assert nodes.abort(wanted, info) == ("", "")
    assert nodes.run_states(wanted["name"]) == ("running", "gone")
    assert mappings(nodes.target, wanted) == set()
    assert device_mapper.loops(image) == []


def test_mappings_that_are_left_are_removed_before_a_start(
    nodes: two_nodes.Pair, theirs: Any
) -> None:
    """Its QEMU ended by itself: nobody has removed them."""
    nodes.source.qemu(theirs["name"], "quit")
    migrants.wait_until(lambda: not nodes.source.call("ListInstances"), 60, "the end of its QEMU")
    assert mappings(nodes.source, theirs) == set(REGIONS)
    nodes.source.call("StartInstance", theirs)
    assert mappings(nodes.source, theirs) == set()
    assert flash(nodes.source, theirs) == in_place(theirs)
