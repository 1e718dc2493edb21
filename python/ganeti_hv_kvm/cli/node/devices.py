"""The disks and NICs that a runtime file names, beside those that QEMU has. Nothing is asked here.

A device has one id in both: ``id`` of its ``hvinfo``, and its name below ``/machine/peripheral``.
IDE disks of Ganeti 3.0, and other devices without an id, cannot be compared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from ganeti_hv_kvm.cli.node.runtime_file import RuntimeFile

PERIPHERALS = "/machine/peripheral"
_ID = re.compile(r"(?:^|,)id=([^,]+)")
_IN_JSON = re.compile(r'"id"\s*:\s*"([^"]+)"')
_QDEV_ID = re.compile(rf"{PERIPHERALS}/([^/]+)")
#: What stands in for a file that QEMU was given opened.
_OPENED = "/dev/fdset/"
#: What a driver of -device is called in QEMU's object model, where that differs.
_TYPE_OF_DRIVER = {"virtio-balloon": "virtio-balloon-pci", "virtio-net": "virtio-net-pci"}


class Device(NamedTuple):
    """A disk or NIC, as one side has it; what it does not tell is None.

    Attributes:
        name: the id.
        kind: "disk", "NIC", or "device" for another one.
        driver: such as "virtio-blk-pci".
        place: where the guest sees it: "pci slot 12", "scsi-id 0".
        behind: what is behind it: a disk's file, a NIC's MAC.
        read_only: of a disk.
    """

    name: str
    kind: str
    driver: str | None = None
    place: str | None = None
    behind: str | None = None
    read_only: bool | None = None


class Difference(NamedTuple):
    """What one device is on each side; None for nothing."""

    name: str
    kind: str
    what: str
    stored: str | None
    in_qemu: str | None

    @property
    def words(self) -> str:
        """Say it."""
        subject = f"{self.kind} {self.name}"
        if self.in_qemu is None and self.what == "device":
            return f"{subject} is in the runtime file, and QEMU does not have it"
        if self.stored is None and self.what == "device":
            return f"QEMU has {subject}, and the runtime file does not"
        return (
            f"{subject}: its {self.what} is {self.stored} in the runtime file,"
            f" and {self.in_qemu} in QEMU"
        )


def in_runtime(runtime: RuntimeFile) -> list[Device]:
    """Give the disks and NICs of a runtime file that have an id."""
    found = []
    for disk in runtime.disks:
        hvinfo = _hvinfo(disk.values)
        if "id" in hvinfo:
            read_only = disk.values.get("mode")
            found.append(
                Device(
                    str(hvinfo["id"]),
                    "disk",
                    _text(hvinfo.get("driver")),
                    _place(hvinfo),
                    disk.uri or disk.path,
                    None if read_only is None else read_only == "ro",
                )
            )
    for nic in runtime.nics:
        hvinfo = _hvinfo(nic)
        if "id" in hvinfo:
            driver, mac = _text(hvinfo.get("driver")), _text(nic.get("mac"))
            found.append(Device(str(hvinfo["id"]), "NIC", driver, _place(hvinfo), mac))
    return found


def named_in(command: list[str]) -> set[str]:
    """Give every id that a command line names: those devices came with the start."""
    return {
        name for word in command for pattern in (_ID, _IN_JSON) for name in pattern.findall(word)
    }


def in_qemu(
    peripherals: object, blocks: object, pci: object, macs: Mapping[str, str] | None = None
) -> list[Device]:
    """Give the devices with an id that QEMU has.

    Args:
        peripherals: what ``qom-list`` returned of ``PERIPHERALS``.
        blocks: what ``query-block`` returned.
        pci: what ``query-pci`` returned.
        macs: by id, of NICs that were asked for theirs.
    """
    files, slots = _files(blocks), _slots(pci)
    found = []
    for entry in peripherals if isinstance(peripherals, list) else []:
        name, kind = entry.get("name"), str(entry.get("type"))
        if not isinstance(name, str) or not kind.startswith("child<"):
            continue
        driver = kind.removeprefix("child<").removesuffix(">")
        mac = (macs or {}).get(name)
        behind, read_only = files.get(name, (mac, None))
        word = "disk" if name in files else "NIC" if _is_nic(driver, mac) else "device"
        found.append(Device(name, word, driver, slots.get(name), behind, read_only))
    return found


def differences(
    stored: list[Device], there: list[Device], born_with: set[str] | None = None
) -> list[Difference]:
    """Compare what a runtime file and a QEMU have.

    Args:
        stored: of the runtime file.
        there: of QEMU.
        born_with: ids of the stored command line, of devices that are neither disk nor NIC.
    """
    by_name = {device.name: device for device in there}
    told = []
    for one in stored:
        other = by_name.get(one.name)
        if other is None:
            told.append(Difference(one.name, one.kind, "device", one.driver, None))
        else:
            told += _changes(one, other)
    known = {one.name for one in stored} | (born_with or set())
    told += [
        Difference(one.name, one.kind, "device", None, one.driver)
        for one in there
        if one.name not in known
    ]
    return told


def _changes(one: Device, other: Device) -> list[Difference]:
    pairs: list[tuple[str, str | None, str | None]] = [
        ("driver", _TYPE_OF_DRIVER.get(one.driver or "", one.driver), other.driver),
        ("place", one.place, other.place),
    ]
    if one.kind == "NIC":
        pairs.append(("MAC", one.behind, other.behind))
    elif not (other.behind or "").startswith(_OPENED):
        pairs.append(("file", one.behind, other.behind))
    if one.read_only is not None and other.read_only is not None:
        modes = {True: "read-only", False: "writable"}
        pairs.append(("mode", modes[one.read_only], modes[other.read_only]))
    return [
        Difference(one.name, one.kind, what, stored, seen)
        for what, stored, seen in pairs
        if stored is not None and seen is not None and stored.lower() != seen.lower()
    ]


def _hvinfo(values: Mapping[str, object]) -> Mapping[str, object]:
    hvinfo = values.get("hvinfo")
    return hvinfo if isinstance(hvinfo, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _place(hvinfo: Mapping[str, object]) -> str | None:
    """Only a place that query-pci tells too: a slot of the first bus, or of a root port."""
    address = hvinfo.get("addr")
    if address is None:
        return None
    try:
        slot = (
            int(str(address).partition(".")[0], 16)
            if isinstance(address, str)
            else int(address)
            if isinstance(address, int)
            else None
        )
    except (TypeError, ValueError):
        return None
    return None if slot is None else f"PCI slot {slot}"


def _is_nic(driver: str, mac: str | None) -> bool:
    return mac is not None or "-net" in driver or driver in ("e1000", "e1000e", "rtl8139")


def _files(blocks: object) -> dict[str, tuple[str | None, bool | None]]:
    """By a device's id: the file that is behind it, and whether it is read-only."""
    found: dict[str, tuple[str | None, bool | None]] = {}
    for block in blocks if isinstance(blocks, list) else []:
        owner = _QDEV_ID.match(str(block.get("qdev", "")))
        if owner is None:
            continue
        inserted = block.get("inserted")
        if isinstance(inserted, dict):
            found[owner.group(1)] = (_text(inserted.get("file")), inserted.get("ro") is True)
        else:
            found[owner.group(1)] = (None, None)
    return found


def _slots(pci: object) -> dict[str, str]:
    found: dict[str, str] = {}
    buses = pci if isinstance(pci, list) else []
    waiting = [device for bus in buses for device in bus.get("devices", [])]
    while waiting:
        device = waiting.pop()
        if device.get("qdev_id"):
            found[str(device["qdev_id"])] = f"PCI slot {device.get('slot')}"
        bridge = device.get("pci_bridge")
        if isinstance(bridge, dict):
            waiting += bridge.get("devices", [])
    return found
