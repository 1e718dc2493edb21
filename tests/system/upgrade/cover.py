"""Guests that people have: a pairwise cover of what a guest can see, and of who started it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness import node
from matrix.pairwise import Row, cover

# The first value is what a cluster has whose administrator set nothing.
DIMENSIONS: dict[str, dict[str, Any]] = {
    "disk_type": {"paravirtual": "paravirtual", "scsi-hd": "scsi-hd", "ide": "ide"},
    "disks": {"one": 1, "two": 2, "three": 3},
    "nic_type": {"paravirtual": "paravirtual", "e1000": "e1000", "rtl8139": "rtl8139"},
    "machine_version": {"none": "", "pc": "pc", "7.2": "pc-i440fx-7.2", "q35": "q35"},
    "cdroms": {"none": 0, "one": 1, "two": 2},
    "floppy": {"none": False, "one": True},
    "disk_cache": {"default": "default", "none": "none", "writethrough": "writethrough"},
    "disk_aio": {"threads": "threads", "native": "native"},
    "disk_discard": {"default": "default", "ignore": "ignore", "unmap": "unmap"},
    # by a socket: both nodes are on one host, and have one port of each number
    "display": {"none": False, "VNC": True},
    "vga": {"none": "", "std": "std", "cirrus": "cirrus", "qxl": "qxl"},
    "security": {
        "none": {},
        "user": {"security_model": "user", "security_domain": "nobody"},
    },
    "use_chroot": {"no": False, "yes": True},
    "use_guest_agent": {"no": False, "yes": True},
    "usb_mouse": {"none": "", "tablet": "tablet"},
    "soundhw": {"none": "", "hda": "hda", "ac97": "ac97"},
    "acpi": {"yes": True, "no": False},
    "kvm_extra": {"none": "", "rng": "-device virtio-rng-pci,bus=pci.0,addr=0x1d"},
}


def _allowed(row: Row) -> bool:
    is_q35 = row.get("machine_version") == "q35"
    on_ide = row.get("disk_type") == "ide"
    with_floppy = row.get("floppy") == "one"
    crowded = on_ide and (row.get("disks"), row.get("cdroms")) == ("three", "two")
    return not (
        crowded
        # Ganeti's own module starts none, and ours puts them where the next Ganeti does
        or (is_q35 and (row.get("born") == "original" or on_ide or row.get("kvm_extra") == "rng"))
        or (is_q35 and with_floppy)
        # QEMU 7.2 does not have the switch that Ganeti's own module says
        or (row.get("born") == "original" and row.get("soundhw", "none") != "none")
        # nor does that module take a folder for VNC's socket
        or (row.get("born") == "original" and row.get("display") == "VNC")
        # nor can such a guest of its be migrated at all: docs/upgrade.md
        or _is_stuck(row)
        or (row.get("disk_aio") == "native" and row.get("disk_cache", "none") != "none")
        # not tried
        or (row.get("acpi") == "no" and is_q35)
    )


def _is_stuck(row: Row) -> bool:
    wanted = {"born": "original", "floppy": "one", "use_chroot": "yes"}
    return all(row.get(name) == label for name, label in wanted.items())


def rows() -> list[Row]:
    """The guests of either module, each a cover by itself; two that differ much come first."""
    labels = {name: list(values) for name, values in DIMENSIONS.items()}
    found = [
        [{"born": born, **row} for row in cover(labels, _allowed_from(born))]
        for born in (node.ORIGINAL, node.OURS)
    ]
    # the richest of each first: a short run takes those
    return [found[0][1], found[1][2], found[0][0], *found[1][:2], *found[0][2:], *found[1][3:]]


def _allowed_from(born: str) -> Callable[[Row], bool]:
    return lambda row: _allowed({"born": born, **row})


def value(row: Row, name: str) -> Any:
    """What a row's label means."""
    return DIMENSIONS[name][row[name]]


def first(name: str) -> str:
    """The label that says nothing special."""
    return node.OURS if name == "born" else next(iter(DIMENSIONS[name]))
