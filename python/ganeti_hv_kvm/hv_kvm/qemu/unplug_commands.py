"""Taking devices from a running guest: part of QmpConnection.

The guest has the last word: it is asked to let go (``device_del``), and may do so at once, later or
never. Only when it has (the event DEVICE_DELETED) may the backend go; without it, a disk would be
torn from under a file system.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from ganeti import errors

from ganeti_hv_kvm import _native
from ganeti_hv_kvm.errors import QmpRefusedError
from ganeti_hv_kvm.hv_kvm.ganeti import settings

_PERIPHERAL = "/machine/peripheral"

# QEMU frees a device a moment after it has said so, and only then lets go of the backend.
_BACKEND_GRACE = 5.0


class BlockBackend(enum.Enum):
    """What stands behind a disk."""

    NODE = "node"
    """A block node (-blockdev, ``blockdev-add``), of which QEMU removes nothing by itself."""
    DRIVE = "drive"
    """A legacy drive (-drive, ``drive_add``), which goes with its device."""

    @property
    def key(self) -> str:
        """The argument by which QMP's commands name it."""
        return "node-name" if self is BlockBackend.NODE else "device"


class UnplugCommands(_native.QmpConnection):
    """Each may be given again after any failure: it looks first at what is left to do."""

    if TYPE_CHECKING:
        _open: Callable[[], AbstractContextManager[None]]

    def device_ids(self) -> frozenset[str]:
        """Give the ids of all devices that have one, on whatever bus."""
        with self._open():
            children = self.execute_qmp("qom-list", {"path": _PERIPHERAL})
        return frozenset(child["name"] for child in children if child["type"].startswith("child<"))

    def release_device(self, devid: str, timeout: float | None = None) -> None:
        """Ask the guest to let go of a device, and wait until it has; none is fine as well.

        Args:
            timeout: seconds for the guest; None for `unplug_timeout`.

        Raises:
            errors.HotplugError: the guest refused, or was silent. It has the device as before; one
                that was silent may still release it.
        """
        seconds = settings.UNPLUG.value() if timeout is None else timeout
        with self._open():
            outcome, why = _native.release_device(self, devid, seconds)
        logging.debug("QMP device_del %s: %s", devid, why or outcome)
        if outcome == "not asked":
            raise errors.HotplugError(
                f"QEMU does not ask the guest to release {devid}: {why}. Nothing was removed"
            )
        if outcome == "silent":
            raise errors.HotplugError(
                f"the guest did not release {devid} within {seconds:g} s. Nothing was removed;"
                " it may still do so, and the removal can be tried again"
            )
        if outcome == "refused":
            raise errors.HotplugError(
                f"the guest refuses to release {devid}. Nothing was removed; once nothing in"
                " the guest uses it, the removal can be tried again"
            )

    def block_backend(self, devid: str) -> BlockBackend | None:
        """Tell what QEMU has by this name."""
        if self._drive(devid) is not None:
            return BlockBackend.DRIVE
        with self._open():
            nodes = self.execute_qmp("query-named-block-nodes")
        return BlockBackend.NODE if any(node["node-name"] == devid for node in nodes) else None

    def _drive(self, devid: str) -> dict[str, Any] | None:
        with self._open():
            drives: list[dict[str, Any]] = self.execute_qmp("query-block")
        return next((drive for drive in drives if drive["device"] == devid), None)

    def remove_block_backend(self, devid: str) -> None:
        """Close the storage of a disk whose device has gone; none is fine as well.

        Raises:
            errors.HotplugError: something in QEMU still uses it; it was left alone.
        """
        with self._open():
            outcome, why = _native.close_storage(self, devid, _BACKEND_GRACE)
        logging.debug("QMP blockdev-del %s: %s", devid, why or outcome)
        if outcome == "in use":
            raise errors.HotplugError(f"the guest still has {devid}; its storage was left alone")
        if outcome == "held":
            raise errors.HotplugError(
                f"QEMU still holds the storage of {devid}: {why}. The device itself is"
                " not in the guest; the removal can be tried again"
            )

    def remove_netdev(self, devid: str, fd_names: Iterable[str] = ()) -> None:
        """Close the TAP of a NIC whose device has gone; none is fine as well.

        Args:
            fd_names: descriptors that may have been handed over and not been used.

        Raises:
            errors.HotplugError: the guest still has the NIC; its TAP was left alone.
        """
        with self._open():
            if devid in self.device_ids():
                raise errors.HotplugError(f"the guest still has {devid}; its TAP was left alone")
            self._if_there("netdev_del", {"id": devid})
            for name in fd_names:
                self._if_there("closefd", {"fdname": name})

    def _if_there(self, command: str, arguments: dict[str, str]) -> None:
        # QEMU can be asked for neither netdevs nor descriptors; it knows them or refuses.
        try:
            self.execute_qmp(command, arguments)
        except QmpRefusedError as err:
            if "not found" not in err.desc:
                raise

    def HotDelDisk(self, devid: str) -> None:
        """Take a disk from the guest, and close its storage once the guest has let go."""
        with self._open():
            self.release_device(devid)
            self.remove_block_backend(devid)

    def HotDelNic(self, devid: str) -> None:
        """Take a NIC from the guest, and close its TAP once the guest has let go."""
        with self._open():
            self.release_device(devid)
            self.remove_netdev(devid)
