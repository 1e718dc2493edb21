"""The guest has the last word on a removal, and what it does late is put right."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.ganeti import settings
from harness import instance
from harness.proxy import COMMAND, EVENT, Message, Proxy, drop
from system.hotplug.conftest import UNPLUG_TIMEOUT
from system.hotplug.running import SEEN_TIMEOUT, Running

pytestmark = pytest.mark.only_3_0

_DELETED = {"event": "DEVICE_DELETED", "timestamp": {"seconds": 1, "microseconds": 2}}


@contextmanager
def paused(running: Running) -> Iterator[None]:
    """A guest that answers nobody; QEMU itself does. Nobody waits for it for long."""
    running.ask("stop")
    try:
        with mock.patch.dict(os.environ, {settings.UNPLUG.variable: UNPLUG_TIMEOUT}):
            yield
    finally:
        running.ask("cont")


def wait_until_gone(running: Running, devid: str) -> None:
    deadline = time.monotonic() + SEEN_TIMEOUT
    while devid in str(running.ask("qom-list", path="/machine/peripheral")):
        assert time.monotonic() < deadline, f"the guest keeps {devid}"
        time.sleep(0.05)


def test_a_silent_guest_keeps_its_disk(running):
    disk = running.add_disk()
    before = running.state()
    with paused(running):
        for _ in range(2):  # the second finds the first one's request still open
            with pytest.raises(
                errors.HotplugError, match=r"did not release .* Nothing was removed"
            ):
                running.remove_disk(disk)
        assert running.state() == before
    wait_until_gone(running, disk[0].hvinfo["id"])
    # QEMU says so to nobody; storage and runtime file still have it. The same call finishes it.
    assert disk[0].hvinfo["id"] in running.hypervisor._ReadKVMRuntime(running.made.name)
    running.remove_disk(disk)
    running.sees(lambda disks, _: "vdb" not in disks)


def test_a_silent_guest_keeps_its_nic_and_the_tap(running):
    nic = running.add_nic()
    before = running.state()
    with paused(running):
        with pytest.raises(errors.HotplugError, match="did not release"):
            running.remove_nic(nic)
        assert running.state() == before
    wait_until_gone(running, nic.hvinfo["id"])
    running.remove_nic(nic)


def test_a_late_release_is_reconciled(running):
    before = running.state()
    disk, nic = running.add_disk(), running.add_nic()
    with paused(running):
        for remove in (lambda: running.remove_disk(disk), lambda: running.remove_nic(nic)):
            with pytest.raises(errors.HotplugError):
                remove()
    for device in (disk[0], nic):
        wait_until_gone(running, device.hvinfo["id"])
    running.hypervisor._ReconcileDevices(running.made)
    assert running.state() == before
    running.hypervisor._ReconcileDevices(running.made)
    assert running.state() == before


def test_the_next_operation_reconciles(running):
    """Fault: after that, "the running instance has no disk ..." for ever."""
    before = running.state()
    disk = running.add_disk()
    with paused(running), pytest.raises(errors.HotplugError):
        running.remove_disk(disk)
    wait_until_gone(running, disk[0].hvinfo["id"])
    nic = running.add_nic()
    assert disk[0].hvinfo["id"] not in running.hypervisor._ReadKVMRuntime(running.made.name)
    with paused(running), pytest.raises(errors.HotplugError):
        running.remove_nic(nic)
    wait_until_gone(running, nic.hvinfo["id"])
    for _ in range(2):
        assert running.remove_disk(disk) == disk[0].hvinfo
        assert running.remove_nic(nic) == nic.hvinfo
    assert running.state() == before


def test_what_is_left_of_a_disk_that_nobody_knows_goes_with_it(running):
    before = running.state()
    disk = instance.disk(running.folder, 1)
    devid = f"disk-{disk[0].uuid.rsplit('-', 2)[0]}"
    file = {"driver": "file", "filename": disk[1]}
    running.ask("blockdev-add", **{"driver": "raw", "node-name": devid, "file": file})
    running.remove_disk(disk)
    assert running.state() == before


def test_a_guest_that_refuses_is_told_from_a_silent_one(running):
    disk = running.add_disk()

    def refuse(connection, message: Message) -> None:
        about = {"device": disk[0].hvinfo["id"], "path": "/machine/peripheral/x"}
        connection.to_client({**_DELETED, "event": "DEVICE_UNPLUG_GUEST_ERROR", "data": about})
        connection.to_client({"return": {}} | {key: message[key] for key in message if key == "id"})

    before = running.state()
    with Proxy(running.qmp) as proxy:
        proxy.fail(COMMAND, "device_del", refuse)
        with pytest.raises(errors.HotplugError, match=r"refuses to release .* Nothing was removed"):
            running.remove_disk(disk)
    assert running.state()["devices"] == before["devices"]
    assert running.state()["runtime"] == before["runtime"]
    running.remove_disk(disk)


def test_another_devices_event_is_not_ours(running):
    disk = running.add_disk()
    devid = disk[0].hvinfo["id"]

    def with_others(connection, message: Message) -> Message:
        for data in (
            {"device": "another", "path": "/machine/peripheral/another"},
            {"path": f"/machine/peripheral/{devid}/virtio-backend"},
        ):
            connection.to_client({**_DELETED, "data": data})
        return message

    with paused(running), Proxy(running.qmp) as proxy:
        fault = proxy.fail(COMMAND, "device_del", with_others)
        with pytest.raises(errors.HotplugError, match="did not release"):
            running.remove_disk(disk)
        assert fault.hits == 1
    wait_until_gone(running, devid)
    running.remove_disk(disk)


def test_an_event_that_is_lost_is_not_missed(running, monkeypatch):
    monkeypatch.setenv("GANETI_HV_KVM_UNPLUG_TIMEOUT", "5")
    disk = running.add_disk()
    with Proxy(running.qmp) as proxy:
        fault = proxy.fail(EVENT, "DEVICE_DELETED", drop, times=9)
        running.remove_disk(disk)
    assert fault.hits > 0


def test_what_an_attempt_left_behind_is_cleared_by_the_next(running):
    """As when the process that added it was killed half-way: nobody undid anything."""
    disk, path, _ = instance.disk(running.folder, 1)
    devid = f"disk-{disk.uuid.rsplit('-', 2)[0]}"
    file = {"driver": "file", "filename": path}
    running.ask("blockdev-add", **{"driver": "raw", "node-name": devid, "file": file})
    where = {"driver": "virtio-blk-pci", "bus": "pci.0", "addr": "0x1d"}
    running.ask("device_add", id=devid, drive=devid, **where)
    running.sees(lambda disks, _: "vdb" in disks)
    added = running.add_disk(1, (disk, path, None))
    assert added[0].hvinfo["addr"] != where["addr"]
    running.remove_disk(added)


@pytest.mark.parametrize("text", ["soon", "-1", "0", "inf"])
def test_a_time_out_that_is_none_is_ignored(text, monkeypatch, caplog):
    monkeypatch.setenv(settings.UNPLUG.variable, text)
    assert settings.UNPLUG.value() == settings.UNPLUG.default
    assert text in caplog.text
