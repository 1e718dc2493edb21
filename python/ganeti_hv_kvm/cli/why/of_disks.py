"""Findings about a guest's disks: which one QEMU could not read or write, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from shlex import quote
from typing import NamedTuple

from ganeti_hv_kvm import json_shapes as shapes
from ganeti_hv_kvm.cli.frame.finding import Finding, note, trouble, unknown
from ganeti_hv_kvm.cli.frame.output import quoted
from ganeti_hv_kvm.cli.node import devices, masking
from ganeti_hv_kvm.cli.node.inquiry import BLOCK, BLOCK_STATS, Inquiry

_ABOUT = "disk"
_OPENED = "/dev/fdset/"


class _Block(NamedTuple):
    """One entry of query-block, as far as it is told."""

    name: str
    file: str | None
    status: str


def findings(found: Inquiry) -> Iterator[Finding]:
    """Say what is to be said of the disks."""
    try:
        blocks = [_read(entry) for entry in shapes.entries(found.replies.get(BLOCK, []))]
        failures = _failures(found.replies.get(BLOCK_STATS, []))
    except (AttributeError, TypeError) as err:
        yield unknown(_ABOUT, f"QEMU tells of its disks what cannot be: {quoted(str(err))}")
        return
    for block in blocks:
        if block.status not in ("ok", ""):
            yield _error(found, block)
        elif failures.get(block.name):
            yield note(
                _ABOUT,
                f"{_title(found, block)}: {failures[block.name]} since the guest's start; it works"
                " now",
            )
    yield from _disagreements(found)


def _read(entry: Mapping[str, object]) -> _Block:
    inserted = shapes.members(entry.get("inserted") or {})
    owner = entry.get("device") or str(entry.get("qdev", "")).removeprefix(
        f"{devices.PERIPHERALS}/"
    )
    name = str(inserted.get("node-name") or owner) if not entry.get("device") else owner
    file = inserted.get("file")
    return _Block(
        str(name), file if isinstance(file, str) else None, str(entry.get("io-status", ""))
    )


def _failures(stats: object) -> dict[str, str]:
    """By the name of the disk: how many reads, writes and flushes failed."""
    told = {}
    for entry in shapes.entries(stats):
        numbers = shapes.members(entry.get("stats", {}))
        parts = [
            f"{numbers[f'failed_{key}_operations']} failed {word}"
            for key, word in (("rd", "reads"), ("wr", "writes"), ("flush", "flushes"))
            if numbers.get(f"failed_{key}_operations")
        ]
        name = entry.get("device") or entry.get("node-name")
        if parts and name:
            told[str(name)] = ", ".join(parts)
    return told


def _title(found: Inquiry, block: _Block) -> str:
    """Name a disk as Ganeti and QEMU do, with what is behind it."""
    title = quoted(block.name)
    file = block.file
    for number, disk in enumerate(found.runtime.disks if found.runtime else ()):
        hvinfo = shapes.members(disk.values.get("hvinfo") or {})
        if (file and file in (disk.path, disk.uri)) or hvinfo.get("id") == block.name:
            title = f"disk {number} ({quoted(block.name)})"
            file = disk.uri or disk.path or file
            break
    return f"{title}, {quoted(masking.text(file))}" if file else title


def _path(found: Inquiry, block: _Block) -> str | None:
    file = block.file
    if file and file.startswith(_OPENED):
        file = None
    for disk in found.runtime.disks if found.runtime else ():
        hvinfo = shapes.members(disk.values.get("hvinfo") or {})
        if hvinfo.get("id") == block.name:
            file = disk.path or file
    return file if file and file.startswith("/") else None


def _error(found: Inquiry, block: _Block) -> Finding:
    name, path = quote(found.guest.name), _path(found, block)
    title = _title(found, block)
    if block.status == "nospace":
        advice = [f"timeout 5 df -h {quote(path)}"] if path else []
        return trouble(
            _ABOUT,
            f"{title}: QEMU had no space left to write to. Make some: the guest lost nothing, and"
            " goes on where it was",
            *advice,
            f"ganeti-hv-kvm cont {name}",
        )
    advice = [f"timeout 5 dd if={quote(path)} of=/dev/null bs=1M count=1"] if path else []
    return trouble(
        _ABOUT,
        f"{title}: QEMU could not read or write it ({quoted(block.status)})",
        "dmesg | tail -n 30",
        *advice,
        f"ganeti-hv-kvm cont {name}",
    )


def _disagreements(found: Inquiry) -> Iterator[Finding]:
    from ganeti_hv_kvm.cli.node import inquiry

    name = quote(found.guest.name)
    try:
        told = inquiry.differences(found)
    except ValueError as err:
        yield unknown("devices", quoted(str(err)), f"ganeti-hv-kvm diff {name}")
        return
    for one in told or []:
        yield trouble("devices", quoted(masking.text(one.words)), f"ganeti-hv-kvm diff {name}")
