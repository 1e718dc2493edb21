"""The QEMU monitor, under the names of Ganeti's ``hv_kvm.monitor``.

The protocol is spoken in Rust, and ``qemu.verbs`` has the commands. Here are Ganeti's names for
them, and the log of what is given.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ganeti_hv_kvm import _native
from ganeti_hv_kvm._native import QmpEvent, QmpMessage, QmpTimestamp
from ganeti_hv_kvm.errors import QmpCommandNotSupported, QmpTimeoutError

from .devices.description import Features
from .ganeti import settings
from .ganeti.generation import DIALECT
from .qemu.verbs import control, devices, disks, growth, migration, nics

if TYPE_CHECKING:
    from ganeti import objects
    from typing_extensions import Self

    from ganeti_hv_kvm.qmp_values.replies import (
        CpuInfo,
        HotpluggableCpu,
        MemorySize,
        MigrationInfo,
        PciDevice,
    )

    from .types import QMPVCPUItem

__all__ = [
    "MonitorSocket",
    "QemuMonitorSocket",
    "QmpCommandNotSupported",
    "QmpConnection",
    "QmpEvent",
    "QmpMessage",
    "QmpTimeoutError",
    "QmpTimestamp",
    "UnixFileSocketConnection",
]

_MIB = 1 << 20
#: Longer replies are cut in the log.
_MOST_LOGGED = 2000

#: Commands without news: part of every connection.
_UNLOGGED = frozenset({"qmp_capabilities", "query-commands"})


class QmpConnection(_native.QmpConnection):
    """A connection to the QMP monitor of one guest.

    Ganeti's methods connect first where that has not been done, and then also close; inside
    ``with`` the connection is kept. All raise ``errors.HypervisorError``.

    Attributes:
        discovers: ask for the list of QEMU's commands when connecting.
    """

    discovers = True

    def __new__(
        cls,
        monitor_filename: str | os.PathLike[str],
        timeout: float | None = None,
        *,
        max_message_size: int | None = None,
    ) -> Self:
        """Make a connection; a slip in the environment's time-out costs no look at a guest."""
        seconds = settings.QMP.value() if timeout is None else timeout
        return super().__new__(cls, monitor_filename, seconds, max_message_size=max_message_size)

    def connect(self, *, timeout: float | None = None, discover: bool | None = None) -> None:
        """Connect, unless connected.

        Args:
            timeout: seconds; None for the connection's own.
            discover: ask for the list of commands too; None for what ``discovers`` says.
        """
        super().connect(timeout=timeout, discover=self.discovers if discover is None else discover)

    def _log_command(self, command: str, arguments: str, result: object) -> None:
        if command not in _UNLOGGED:
            # repr: what QEMU said must not end the line
            told = repr(result)
            if len(told) > _MOST_LOGGED:
                told = f"{told[:_MOST_LOGGED]}... ({len(told)} characters)"
            logging.debug("QMP %s %s: %s", command, arguments or "{}", told)

    @contextlib.contextmanager
    def _open(self) -> Iterator[None]:
        was_connected = self.is_connected()
        self.connect()
        try:
            yield
        finally:
            if not was_connected:
                self.close()

    def GetVersion(self) -> tuple[int, int, int] | None:
        """QEMU's version, as (major, minor, micro)."""
        with self._open():
            return self.version

    def HumanMonitorCommand(self, command: str, *, timeout: float | None = None) -> str:
        """See ``control.human_monitor_command``."""
        with self._open():
            return control.human_monitor_command(self, command, timeout=timeout)

    # The guest as a whole

    def GetCpuInformation(self) -> list[CpuInfo]:
        """What query-cpus-fast tells of each vCPU; the guest is not interrupted for it."""
        with self._open():
            return control.query_cpus_fast(self)

    def SetVNCPassword(self, vnc_pwd: str) -> None:
        """Set the password that VNC clients must give."""
        with self._open():
            control.set_password(self, "vnc", vnc_pwd)

    def SetSpicePassword(self, spice_pwd: str) -> None:
        """Set the password (SPICE: ticket) that SPICE clients must give."""
        with self._open():
            control.set_password(self, "spice", spice_pwd)

    def SetBalloonMemory(self, memory: int) -> None:
        """Ask the guest to use ``memory`` MiB; it follows in its own time."""
        with self._open():
            control.balloon(self, memory * _MIB)

    def Powerdown(self) -> None:
        """Press the guest's power button."""
        with self._open():
            control.system_powerdown(self)

    def StopGuestEmulation(self) -> None:
        """Pause the guest."""
        with self._open():
            control.stop(self)

    def ContinueGuestEmulation(self) -> None:
        """Let a paused guest go on."""
        with self._open():
            control.cont(self)

    # Devices

    def HasDevice(self, devid: str) -> bool:
        """Tell whether QEMU has a device with this id, on whatever bus."""
        with self._open():
            return devices.has_device(self, devid)

    def _GetPCIDevices(self) -> list[PciDevice]:
        """Give QEMU's description of each device on the first PCI bus."""
        with self._open():
            return devices.devices_of_first_pci_bus(self)

    def GetFreePCISlot(self) -> int:
        """Give the number of the first free slot of the first PCI bus."""
        with self._open():
            return devices.first_free_pci_slot(self)

    def CheckDiskHotAddSupport(self) -> None:
        """Raise ``errors.HotplugError`` if this QEMU lacks a command that adding a disk needs."""
        with self._open():
            devices.check_commands(self, "disk", devices.DISK_NEEDS)

    def CheckNicHotAddSupport(self) -> None:
        """Raise ``errors.HotplugError`` if this QEMU lacks a command that adding a NIC needs."""
        with self._open():
            devices.check_commands(self, "NIC", devices.NIC_NEEDS)

    def HasDynamicAutoReadOnly(self) -> bool:
        """Tell whether QEMU opens a file for writing only once a device writes (4.0 and later)."""
        with self._open():
            return control.has_dynamic_auto_read_only(self)

    def _GetFd(self, fd: int, fdname: str) -> None:
        """Hand a descriptor to QEMU under a name; QEMU gets a duplicate."""
        with self._open():
            devices.getfd(self, fd, fdname)

    def _AddFd(self, fd: int, opaque: str | None = None) -> int:
        """Hand a descriptor to QEMU for opening as ``/dev/fdset/N``, and return N."""
        with self._open():
            return devices.add_fd(self, fd, opaque)

    def _RemoveFdset(self, fdset: int) -> None:
        """Let QEMU close its descriptor; whoever opened it has a duplicate and keeps that."""
        with self._open():
            devices.remove_fd(self, fdset)

    if TYPE_CHECKING:
        HotAddDisk: Callable[..., None]
    elif DIALECT.blockdev:

        def HotAddDisk(
            self,
            disk: objects.Disk,
            access_mode: str,
            cache_writeback: bool,
            direct: bool,
            blockdevice: Mapping[str, object],
            *,
            timeout: float | None = None,
        ) -> None:
            """See ``disks.add_with_node``."""
            with self._open():
                disks.add_with_node(
                    self, disk, access_mode, cache_writeback, direct, blockdevice, timeout=timeout
                )
    else:

        def HotAddDisk(
            self,
            disk: objects.Disk,
            devid: str,
            uri: str,
            drive_add_fn: Callable[[str], object] | None = None,
            *,
            direct: bool = False,
        ) -> None:
            """See ``disks.add_with_drive``."""
            with self._open():
                disks.add_with_drive(self, disk, devid, uri, drive_add_fn, direct=direct)

    def ResizeBlockDevice(self, disk_id: str, new_size: int) -> None:
        """Let the guest see that a disk now has ``new_size`` bytes."""
        with self._open():
            disks.block_resize(self, disk_id, new_size)

    def HotDelDisk(self, devid: str) -> None:
        """Take a disk from the guest, and close its storage once the guest has let go."""
        with self._open():
            disks.remove(self, devid)

    def HotAddNic(  # noqa: PLR0917
        self,
        nic: objects.NIC,
        devid: str,
        tapfds: Sequence[int] | None = None,
        vhostfds: Sequence[int] | None = None,
        features: Features | None = None,
        is_chrooted: bool = False,
    ) -> None:
        """See ``nics.add``."""
        with self._open():
            nics.add(self, nic, devid, tapfds, vhostfds, features, is_chrooted)

    def HotDelNic(self, devid: str) -> None:
        """Take a NIC from the guest, and close its TAP once the guest has let go."""
        with self._open():
            nics.remove(self, devid)

    # vCPUs and memory

    def GetHotpluggableCPUs(self) -> list[HotpluggableCpu]:
        """QEMU's answer to query-hotpluggable-cpus: all places for vCPUs, taken and free."""
        with self._open():
            return growth.query_hotpluggable_cpus(self)

    def HotAddvCPU(self, cpu: Mapping[str, object] | QMPVCPUItem) -> None:
        """Give the guest a vCPU; its operating system brings it online.

        Args:
            cpu: a free place, as ``GetHotpluggableCPUs`` tells of it, or a ``types.QMPVCPUItem``.
        """
        device = growth.read_place(cpu).device if isinstance(cpu, Mapping) else cpu.to_qmp_vcpu()
        with self._open():
            devices.device_add(self, device)

    def HotDelvCPU(self, cpu_id: str) -> None:
        """Ask the guest to let go of a vCPU that was added, and wait until it has."""
        with self._open():
            devices.release_device(self, cpu_id)

    def QueryMemorySummary(self) -> MemorySize:
        """QEMU's answer to query-memory-size-summary; bytes."""
        with self._open():
            return growth.query_memory_size_summary(self)

    # Migration

    def SetMigrationParameters(self, max_bandwidth: int, downtime_limit: int) -> None:
        """Limit the migrations to come: bytes a second, and milliseconds."""
        with self._open():
            migration.limit(self, max_bandwidth, downtime_limit)

    def SetMigrationCapabilities(self, capabilities: Iterable[str], state: bool) -> None:
        """Switch capabilities of migration on or off; QEMU takes all of them or none."""
        with self._open():
            migration.migrate_set_capabilities(self, capabilities, state)

    def StartMigration(self, target: str, port: int | str) -> None:
        """Begin to send the guest; see ``migration.migrate``."""
        with self._open():
            migration.migrate(self, target, port)

    def StartPostcopyMigration(self) -> None:
        """Let the guest run on the target now, and fetch the rest of its memory from here."""
        with self._open():
            migration.migrate_start_postcopy(self)

    def SetMigrationDowntime(self, downtime_limit: int) -> None:
        """Let the guest stand still for so many milliseconds in the end."""
        with self._open():
            migration.limit_downtime(self, downtime_limit)

    def CancelMigration(self) -> None:
        """Give a migration up: the guest stays here."""
        with self._open():
            migration.migrate_cancel(self)

    def GetMigrationStatus(self) -> MigrationInfo:
        """The answer of query-migrate; {} if this QEMU never migrated."""
        with self._open():
            return migration.migration_info(self)


def without_discovery(
    qmp_connection: Callable[[str], QmpConnection],
) -> Callable[[str], QmpConnection]:
    """Make connections that do not ask for the list of commands: it takes longer than most of them.

    A command that QEMU does not know is then refused by QEMU itself.

    Args:
        qmp_connection: makes a connection to the monitor with the path given.
    """

    def connection(path: str) -> QmpConnection:
        made = qmp_connection(path)
        made.discovers = False
        return made

    return connection


# Base classes of the originals: MonitorSocket in 3.0, the other two in 3.1. One class does it all.
MonitorSocket = QemuMonitorSocket = UnixFileSocketConnection = _native.QmpConnection
