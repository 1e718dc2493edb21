"""Commands for disks and NICs that come, go and grow while the guest runs: part of QmpConnection.

What a device consists of in QEMU: the device itself (``device_add``), which the guest sees, and
its backend on the host: a block node or a legacy drive, or a netdev; all have the device's id.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ganeti import constants, errors, utils

from ganeti_hv_kvm.hv_kvm.devices import description
from ganeti_hv_kvm.hv_kvm.devices.description import Features
from ganeti_hv_kvm.hv_kvm.ganeti.generation import DIALECT, bitarray

from .unplug_commands import UnplugCommands

if TYPE_CHECKING:
    from ganeti import objects

_DISK_NEEDS = ("add-fd", "blockdev-add", "device_add")
_NIC_NEEDS = ("getfd", "netdev_add", "device_add")


def tap_fd_names(devid: str, features: Features) -> list[str]:
    """The names under which QEMU keeps a NIC's descriptors until ``netdev_add`` takes them."""
    _, queues = features.get("mq", (False, 1))
    names = [f"{devid}-{queue}" for queue in range(queues)]
    return names + [f"{devid}-vhost-{queue}" for queue in range(queues)]


class _DeviceCommands(UnplugCommands):
    # Looking

    def HasDevice(self, devid: str) -> bool:
        """Tell whether QEMU has a device with this id, on whatever bus."""
        return devid in self.device_ids()

    def _GetPCIDevices(self) -> list[dict[str, Any]]:
        """Give QEMU's description of each device on the first PCI bus."""
        with self._open():
            devices: list[dict[str, Any]] = self.execute_qmp("query-pci")[0]["devices"]
        return devices

    def GetFreePCISlot(self) -> int:
        """Give the number of the first free slot of the first PCI bus."""
        slots = bitarray(constants.QEMU_PCI_SLOTS)
        slots.setall(False)
        for device in self._GetPCIDevices():
            slots[device["slot"]] = True
        return int(utils.GetFreeSlot(slots))

    def CheckDiskHotAddSupport(self) -> None:
        """Raise ``errors.HotplugError`` if this QEMU lacks a command that adding a disk needs."""
        self._need("disk", _DISK_NEEDS)

    def CheckNicHotAddSupport(self) -> None:
        """Raise ``errors.HotplugError`` if this QEMU lacks a command that adding a NIC needs."""
        self._need("NIC", _NIC_NEEDS)

    def _need(self, what: str, commands: Sequence[str]) -> None:
        with self._open():
            known = self.supported_commands
            if known is None:
                known = frozenset(entry["name"] for entry in self.execute_qmp("query-commands"))
        missing = sorted(set(commands) - known)
        if missing:
            raise errors.HotplugError(
                f"this QEMU cannot be given a {what} while it runs: it lacks {', '.join(missing)}"
            )

    def HasDynamicAutoReadOnly(self) -> bool:
        """Tell whether QEMU opens a file for writing only once a device writes (4.0 and later)."""
        with self._open():
            if self.version is not None and self.version[:2] == (4, 0):
                return True  # has it, but does not say so
            schema = self.execute_qmp("query-qmp-schema")
        return any("dynamic-auto-read-only" in entry.get("features", ()) for entry in schema)

    # File descriptors

    def _GetFd(self, fd: int, fdname: str) -> None:
        """Hand a descriptor to QEMU under a name; QEMU gets a duplicate."""
        self.execute_qmp("getfd", {"fdname": fdname}, fds=[fd])

    def _hand_over(self, prefix: str, fds: Sequence[int] | None) -> list[str]:
        names = [f"{prefix}-{queue}" for queue, _ in enumerate(fds or ())]
        for name, fd in zip(names, fds or (), strict=True):
            self._GetFd(fd, name)
        return names

    def _AddFd(self, fd: int, opaque: str | None = None) -> int:
        """Hand a descriptor to QEMU for opening as ``/dev/fdset/N``, and return N.

        ``opaque`` is a text by which it is found again.
        """
        arguments = None if opaque is None else {"opaque": opaque}
        return int(self.execute_qmp("add-fd", arguments, fds=[fd])["fdset-id"])

    def _RemoveFdset(self, fdset: int) -> None:
        """Let QEMU close its descriptor; whoever opened it has a duplicate and keeps that."""
        self.execute_qmp("remove-fd", {"fdset-id": fdset})

    def _add_file(self, path: str, devid: str, direct: bool) -> int:
        # QEMU 9.1 and later refuse a descriptor whose O_DIRECT is not as the node's cache mode says
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_DIRECT if direct else 0))
        try:
            return self._AddFd(fd, devid)
        finally:
            os.close(fd)

    # Adding and resizing

    def HotAddNic(  # noqa: PLR0917
        self,
        nic: objects.NIC,
        devid: str,
        tapfds: Sequence[int] | None = None,
        vhostfds: Sequence[int] | None = None,
        features: Features | None = None,
        is_chrooted: bool = False,
    ) -> None:
        """Give the guest a NIC; what fails half-way stays as it is.

        Args:
            nic: Ganeti's ``objects.NIC``, with its place in ``hvinfo``.
            tapfds, vhostfds: descriptors, one for each queue; they stay the caller's.
            features: as for ``OpenTap``.
            is_chrooted: QEMU cannot read files of this host.
        """
        features = features or {}
        with self._open():
            taps = self._hand_over(devid, tapfds)
            vhosts = self._hand_over(f"{devid}-vhost", vhostfds)
            netdev = description.netdev(devid, taps, vhosts, features)
            self.execute_qmp("netdev_add", netdev.as_qmp())
            device = description.nic(nic.hvinfo, devid, nic.mac, features, without_rom=is_chrooted)
            self.execute_qmp("device_add", device.as_qmp())

    def ResizeBlockDevice(self, disk_id: str, new_size: int) -> None:
        """Let the guest see that a disk now has ``new_size`` bytes.

        Works for a block node and for the legacy drive of a guest that Ganeti 3.0 started.
        """
        with self._open():
            backend = self.block_backend(disk_id)
            if backend is None:
                raise errors.HotplugError(f"QEMU has no disk {disk_id}; nothing was resized")
            self.execute_qmp("block_resize", {backend.key: disk_id, "size": new_size})


class BlockdevDeviceCommands(_DeviceCommands):
    """Disks as Ganeti 3.1 and later describe them: a block node and a device."""

    def HotAddDisk(
        self,
        disk: objects.Disk,
        access_mode: str,
        cache_writeback: bool,
        direct: bool,
        blockdevice: dict[str, Any],
        *,
        timeout: float | None = None,
    ) -> None:
        """Give the guest a disk; what fails half-way stays as it is.

        Args:
            disk: Ganeti's ``objects.Disk``, with its place in ``hvinfo``.
            access_mode: with "kernelspace" the file is opened here, for QEMU may not be allowed to.
            cache_writeback: the guest sees a write cache.
            direct: the block node bypasses the host's cache.
            blockdevice: arguments of ``blockdev-add``; they are not changed.
            timeout: seconds for opening the storage; None for the connection's own.
        """
        node, fdset = dict(blockdevice), None
        backend = node["node-name"]
        with self._open():
            if access_mode == constants.DISK_KERNELSPACE:
                fdset = self._add_file(node["file"]["filename"], backend, direct)
                node["file"] = {**node["file"], "filename": f"/dev/fdset/{fdset}"}
            self.execute_qmp("blockdev-add", node, timeout=timeout)
            device = description.disk(disk.hvinfo, backend, cache_writeback)
            self.execute_qmp("device_add", device.as_qmp())
            if fdset is not None:
                self._RemoveFdset(fdset)


class DriveDeviceCommands(_DeviceCommands):
    """Disks as Ganeti 3.0 describes them: a legacy drive and a device.

    A block node in its place would work as well, until Ganeti 3.0's own module takes over: its way
    to remove a disk, ``drive_del`` right behind ``device_del``, fails for a node that the guest
    still uses and is not tried again, so that QEMU would hold the storage open for good.
    """

    def HotAddDisk(
        self,
        disk: objects.Disk,
        devid: str,
        uri: str,
        drive_add_fn: Callable[[str], object] | None = None,
        *,
        direct: bool = False,
    ) -> None:
        """Give the guest a disk; what fails half-way stays as it is.

        Args:
            disk: Ganeti's ``objects.Disk``, with its place in ``hvinfo``.
            uri: a file, which is opened here, or what QEMU opens by itself.
            drive_add_fn: adds the drive, given the name of the file to open.
            direct: the drive bypasses the host's cache.
        """
        fdset = None
        with self._open():
            filename = uri
            if os.path.exists(uri):
                fdset = self._add_file(uri, devid, direct)
                filename = f"/dev/fdset/{fdset}"
            if drive_add_fn:
                drive_add_fn(filename)
            else:
                logging.warning("Disk %s gets QEMU's defaults: no drive_add_fn was given", devid)
                protocol = {"driver": "file", "filename": filename}
                node = {"driver": "raw", "node-name": devid, "file": protocol}
                self.execute_qmp("blockdev-add", node)
            device = description.disk(disk.hvinfo, devid, None)
            self.execute_qmp("device_add", device.as_qmp())
            if fdset is not None:
                self._RemoveFdset(fdset)


if TYPE_CHECKING:

    class DeviceCommands(_DeviceCommands):
        """Which of the two it is, and so how a disk is added, the generation decides."""

        HotAddDisk: Callable[..., None]
else:
    DeviceCommands = BlockdevDeviceCommands if DIALECT.blockdev else DriveDeviceCommands
