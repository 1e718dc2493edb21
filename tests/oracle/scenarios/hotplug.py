"""Faults of devices that come and go while the guest runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness import instance, node, original
from harness.block_device import block_device
from harness.proxy import COMMAND, REPLY, Message, Proxy, refuse
from oracle import guests
from oracle.place import Place, error_of, expect, fault_in, wait_until

_DISK, _NIC = "disk", "nic"
_SCSI = {"disk_type": "scsi-hd", "scsi_controller_type": "virtio-scsi-pci"}
_RELEASE_TIMEOUT = 20.0


def _start(place: Place, *, paused: bool = False, **parameters: Any) -> Any:
    """A guest with a disk and a NIC; unless ``paused`` Linux runs in it."""
    node.make_bridge()
    disks = [instance.disk(place.node.root)]
    nics = [instance.nic()]
    made = instance.instance(guests.NAME, nics=nics, disks=disks, **parameters)
    place.node.hypervisor().StartInstance(made, disks, paused)
    if not paused:
        guests.wait_until_up(place)
    return made


def _add_disk(place: Place, made: Any) -> Any:
    disk = instance.disk(place.node.root, 1)
    place.node.hypervisor().HotAddDevice(made, _DISK, disk[0], disk[1:], 1)
    return disk[0]


def _add_nic(place: Place, made: Any) -> Any:
    nic = instance.nic(1)
    place.node.hypervisor().HotAddDevice(made, _NIC, nic, None, 1)
    return nic


def _remove(place: Place, made: Any, kind: str, device: Any, seq: int) -> None:
    place.node.hypervisor().HotDelDevice(made, kind, device, None, seq)


def _devices(place: Place) -> set[str]:
    with guests.RawMonitor(place) as monitor:
        children = monitor.execute("qom-list", path="/machine/peripheral")
    return {child["name"] for child in children if child["type"].startswith("child<")}


def _block(place: Place) -> tuple[list[str], int]:
    """What QEMU has of disks: the names of its drives, and how many block nodes."""
    with guests.RawMonitor(place) as monitor:
        drives = sorted(drive["device"] for drive in monitor.execute("query-block"))
        return drives, len(monitor.execute("query-named-block-nodes"))


def _netdevs(place: Place) -> list[str]:
    with guests.RawMonitor(place) as monitor:
        text = monitor.execute("human-monitor-command", **{"command-line": "info network"})
    return sorted(line.split(":")[0] for line in text.splitlines())


def _taps() -> set[str]:
    return {name for name in os.listdir("/sys/class/net") if name.startswith("tap")}


@contextmanager
def _refused(place: Place, command: str) -> Iterator[None]:
    """QEMU refuses this command, once."""
    with Proxy(place.node.socket(guests.NAME, "qmp")) as proxy:
        fault = proxy.fail(COMMAND, command, refuse("no room for it"))
        yield
    if not fault.hits:
        raise AssertionError(f"{command} was never given")


@fault_in("3.0", "3.1")
def a_disk_that_is_refused_leaves_nothing(place: Place) -> None:
    made = _start(place, paused=True)
    before = _block(place)
    with _refused(place, "device_add"):
        error = error_of(lambda: _add_disk(place, made))
    expect(error is not None, "the disk was refused, with success")
    expect(_block(place) == before, f"left in QEMU: {_block(place)}, before it was {before}")


@fault_in("3.1")
def a_disk_that_was_refused_can_be_added_again(place: Place) -> None:
    made = _start(place, paused=True)
    with _refused(place, "device_add"):
        error_of(lambda: _add_disk(place, made))
    error = error_of(lambda: _add_disk(place, made))
    expect(error is None, f"the second attempt: {error}")
    expect(len(_devices(place)) == 3, f"QEMU has {_devices(place)}")


@fault_in("3.0", "3.1")
def a_nic_that_is_refused_leaves_nothing(place: Place) -> None:
    made = _start(place, paused=True)
    before = (_netdevs(place), _taps())
    with _refused(place, "device_add"):
        error = error_of(lambda: _add_nic(place, made))
    expect(error is not None, "the NIC was refused, with success")
    after = (_netdevs(place), _taps())
    expect(after == before, f"left: {after}, before it was {before}")


@fault_in("3.0", "3.1")
def a_nic_that_was_refused_can_be_added_again(place: Place) -> None:
    made = _start(place, paused=True)
    with _refused(place, "device_add"):
        error_of(lambda: _add_nic(place, made))
    error = error_of(lambda: _add_nic(place, made))
    expect(error is None, f"the second attempt: {error}")
    expect(len(_devices(place)) == 3, f"QEMU has {_devices(place)}")


@fault_in("3.0", "3.1")
def a_nic_that_the_guest_keeps_keeps_its_tap(place: Place) -> None:
    made = _start(place, paused=True)  # a paused guest releases nothing
    before = (_devices(place), _netdevs(place), _taps())
    error = error_of(lambda: _remove(place, made, _NIC, made.nics[0], 0))
    expect(error is not None, "the NIC was removed, with success, from a guest that keeps it")
    after = (_devices(place), _netdevs(place), _taps())
    expect(after == before, f"the guest has {after}, before it was {before}")


@fault_in("3.0", "3.1")
def a_nic_that_is_released_late_can_be_removed(place: Place) -> None:
    made = _start(place)
    with guests.RawMonitor(place) as monitor:
        monitor.execute("stop")
    error_of(lambda: _remove(place, made, _NIC, made.nics[0], 0))
    with guests.RawMonitor(place) as monitor:
        monitor.execute("cont")
    wait_until(lambda: len(_devices(place)) == 1, _RELEASE_TIMEOUT, "the guest to release it")
    error = error_of(lambda: _remove(place, made, _NIC, made.nics[0], 0))
    expect(error is None, f"the second attempt: {error}")
    runtime = place.node.hypervisor()._LoadKVMRuntime(made)
    expect(len(runtime[1]) == 0, f"the runtime file still has {runtime[1]}")


@fault_in("3.0")
def a_disk_that_the_guest_keeps_keeps_its_storage(place: Place) -> None:
    made = _start(place, paused=True)
    before = (_devices(place), _block(place))
    disk = instance.disk(place.node.root)[0]
    error = error_of(lambda: _remove(place, made, _DISK, disk, 0))
    expect(error is not None, "the disk was removed, with success, from a guest that keeps it")
    after = (_devices(place), _block(place))
    expect(after == before, f"the guest has {after}, before it was {before}")


@fault_in("3.0", "3.1")
def a_nic_that_cannot_be_changed_stays(place: Place) -> None:
    made = _start(place)
    changed = instance.nic()
    changed.mac = "aa:00:00:99:99:99"
    with _refused(place, "device_add"):
        error = error_of(lambda: place.node.hypervisor().HotModDevice(made, _NIC, changed, None, 0))
    expect(error is not None, "the change was refused, with success")
    expect(len(_devices(place)) == 2, f"the guest is left with {_devices(place)}")
    nics = place.node.hypervisor()._LoadKVMRuntime(made)[1]
    macs = [nic.mac for nic in nics]
    expect(macs == [instance.nic().mac], f"the runtime file has {macs}")


@fault_in("3.1")
def a_scsi_disk_is_added_with_success(place: Place) -> None:
    made = _start(place, paused=True, **_SCSI)
    error = error_of(lambda: _add_disk(place, made))
    added = any(name.startswith("disk-c8fee21f") for name in _devices(place))
    expect(error is None, f"QEMU {'has' if added else 'does not have'} the disk, but: {error}")


@fault_in("3.1")
def another_devices_release_is_not_ours(place: Place) -> None:
    def with_another(connection: Any, reply: Message) -> None:
        about = {"device": "another", "path": "/machine/peripheral/another"}
        stamp = {"seconds": 1, "microseconds": 2}
        connection.to_client(reply)
        connection.to_client({"event": "DEVICE_DELETED", "timestamp": stamp, "data": about})

    made = _start(place)
    disk = instance.disk(place.node.root)[0]
    with Proxy(place.node.socket(guests.NAME, "qmp")) as proxy:
        proxy.fail(REPLY, "device_del", with_another)
        error = error_of(lambda: _remove(place, made, _DISK, disk, 0))
    expect(error is None, f"the disk was removed, but: {error}")
    expect(_block(place)[1] == 0, f"left in QEMU: {_block(place)}")


@fault_in("3.0")
def a_block_device_is_added(place: Place) -> None:
    made = _start(place, paused=True)
    disk, image, _ = instance.disk(place.node.root, 1)
    disk.dev_type = "plain"
    with block_device(Path(image)) as path:
        error = error_of(
            lambda: place.node.hypervisor().HotAddDevice(made, _DISK, disk, (path, None), 1)
        )
    expect(error is None, f"{error}")


def _started_by_3_0(place: Place) -> tuple[Any, Any]:
    """A guest whose disk is a -drive, and its disk."""
    node.make_bridge()
    original.call("3.0", "start", place.node.root, guests.NAME)
    made, disks = original.made_in(place.node.root, guests.NAME)
    guests.wait_until_up(place)
    return made, disks[0]


@fault_in("3.1")
def a_disk_of_a_guest_from_before_the_upgrade_is_removed(place: Place) -> None:
    made, disk = _started_by_3_0(place)
    error = error_of(lambda: _remove(place, made, _DISK, disk[0], 0))
    expect(error is None, f"QEMU has {_devices(place)}, but: {error}")
    expect(_block(place)[1] == 0, f"left in QEMU: {_block(place)}")


@fault_in("3.1")
def a_disk_of_a_guest_from_before_the_upgrade_is_resized(place: Place) -> None:
    made, disk = _started_by_3_0(place)
    os.truncate(disk[1], 32 << 20)
    error = error_of(lambda: place.node.hypervisor().ResizeDisk(made, disk[0], 32 << 20))
    expect(error is None, f"the guest does not see it: {error}")
