"""Starting QEMU: everything that has to be there before, around and after the process.

A start either leads to a guest that runs (or is paused because that was asked for, or waits for
an incoming migration) or leaves nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from ganeti import constants, errors, uidpool, utils

from ganeti_hv_kvm.hv_kvm import command_line
from ganeti_hv_kvm.hv_kvm.command_line import AttachedNic, Completion, FirmwareDisk, iothreads
from ganeti_hv_kvm.hv_kvm.devices.description import Features
from ganeti_hv_kvm.hv_kvm.ganeti import boot_type, guest_options
from ganeti_hv_kvm.hv_kvm.ganeti.guest_options import Options
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import number, text_or_none
from ganeti_hv_kvm.hv_kvm.ganeti.unfit_values import told_of
from ganeti_hv_kvm.hv_kvm.guest import disk_limits, machine_type, process
from ganeti_hv_kvm.hv_kvm.guest import files as instance_files
from ganeti_hv_kvm.hv_kvm.guest.disk_limits import GuestLimits
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest, PidAlive
from ganeti_hv_kvm.hv_kvm.guest.undo import Undo
from ganeti_hv_kvm.hv_kvm.host import (
    firmware_disk,
    firmware_mappings,
    firmware_seed,
    nic_scripts,
    taps,
    uid_pool,
)
from ganeti_hv_kvm.hv_kvm.host.taps import HostNic
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime
from ganeti_hv_kvm.hv_kvm.qemu.facts import QemuFacts
from ganeti_hv_kvm.hv_kvm.qemu.verbs import control

from . import balloon, cpu_pinning, huge_pages, new_runtime, options_fit, user_shutdown

if TYPE_CHECKING:
    from ganeti import objects

    from ganeti_hv_kvm.hv_kvm.ganeti.block_devices import BlockDevice
    from ganeti_hv_kvm.hv_kvm.monitor import QmpConnection

#: Bytes of a password; a longer one QEMU refuses when the guest is there already.
_MOST_OF_SPICE = 60

#: What a QEMU is told when it is there, by a connected monitor.
Command = Callable[["QmpConnection"], None]


def start_new(guest: Guest, block_devices: Iterable[BlockDevice], startup_paused: bool) -> None:
    """Lay out a guest and start it.

    Args:
        guest: it is down; its instance's parameters were checked.
        block_devices: its disks, as (``objects.Disk``, path of the device, URI or None).
        startup_paused: leave the guest paused before its first instruction.

    Raises:
        errors.HypervisorError: what failed; nothing is left of the attempt.
    """
    facts = guest.facts()
    options = options_fit.for_start(guest.instance)
    # it belongs to the guest from here on, as a parameter does
    guest.instance.hvparams = {**guest.instance.hvparams, **iothreads.as_parameter(options)}
    runtime = new_runtime.make_runtime(
        guest.instance, block_devices, startup_paused, guest.files, facts, options=options
    )
    start = Start(guest, runtime, facts, options=options)
    start.run(save_runtime=lambda: guest.save(runtime))


class Start:
    """One start of one guest.

    Attributes:
        guest: its instance's hvparams are those of today.
        runtime: what the runtime file holds.
        facts: what the QEMU binary can do.
        incoming: address and port to wait on for a migration, or None.
        options: what the instance's tags ask for.
    """

    __slots__ = (
        "_configure_nic",
        "_is_new",
        "_up_hvp",
        "facts",
        "guest",
        "incoming",
        "options",
        "runtime",
    )

    def __init__(
        self,
        guest: Guest,
        runtime: KVMRuntime,
        facts: QemuFacts,
        incoming: tuple[str, int] | None = None,
        configure_nic: Callable[[objects.Instance, int, objects.NIC, str], None] | None = None,
        *,
        options: Options | None = None,
    ) -> None:
        """``configure_nic`` sets up NICs in another way than the hypervisor object does.

        ``options`` are given for a guest that is down: it has them all, or is not started. One
        that lives comes first.
        """
        self.guest = guest
        self.runtime = runtime
        self.facts = facts
        self.incoming = incoming
        self._configure_nic = configure_nic or guest.seams.configure_nic
        self._up_hvp = guest.hvp(runtime)
        self._is_new = options is not None
        if options is None:
            options = options_fit.for_running(guest, runtime)
        self.options = options

    def run(self, save_runtime: Callable[[], None] | None = None) -> None:
        """Start the guest, which is down.

        Args:
            save_runtime: writes the runtime file, where there is none yet.

        Raises:
            errors.HypervisorError: what failed; nothing is left of the attempt, or the error says
                what could not be undone.
        """
        instance, files = self.guest.instance, self.guest.files
        cpu_mask, pinned, passwords = self._preconditions()
        if self._is_new and self.options.asks_for_uefi:
            firmware_seed.fill(instance.name, self.runtime.kvm_disks)
        self._firmware()
        # upstream's module may have left some, which hold the firmware disk
        firmware_mappings.clean_up(self.guest.name)
        utils.RemoveFile(files.shutdown)
        instance_files.remove_keys(files)
        wants_kvmd = instance.hvparams[constants.HV_KVM_USER_SHUTDOWN]
        if wants_kvmd:
            user_shutdown.ensure_daemon()
        with Undo(f"start of {self.guest.name}") as undo:
            undo.add("files of the instance", self._remove_files)
            if save_runtime:
                save_runtime()
            self._make_chroot()
            uid = self._take_uid()
            with self._taps(undo) as host_nics:
                command = huge_pages.fitted(
                    self.guest.name, self.command(host_nics, uid), self._up_hvp
                )
                undo.add("QEMU", self._kill, uses_earlier=True)
                self.guest.seams.run_qemu(self.guest.name, command, taps.all_fds(host_nics))
                if wants_kvmd:
                    user_shutdown.show_again(files.kvmd)
                taps.write_files(host_nics, files)
                nic_scripts.remember(instance, files)
            if uid:
                uid.Unlock()
            if pinned:
                self.guest.seams.execute_cpu_affinity(instance, cpu_mask)
            self._give_commands([*_set_passwords(passwords), *self._balloon_and_go()])

    def check(self) -> None:
        """Find out what would make ``run`` fail, as far as that can be known before.

        Raises:
            errors.HypervisorError: what is wrong with the parameters or with this node.
        """
        machine_type.check(self.runtime.kvm_cmd, self.facts)
        self._preconditions()
        self._firmware()
        self.nic_features()

    def has_power_button(self) -> bool:
        """Tell whether the guest can be asked to shut down (ACPI), as it was started."""
        return bool(self._up_hvp[constants.HV_ACPI])

    def _preconditions(self) -> tuple[str, bool, dict[str, str]]:
        """Give the CPU mask, whether it pins anything, and the passwords by protocol."""
        instance_files.check_names(self.guest.files)
        cpu_mask = text_or_none(self._up_hvp, constants.HV_CPU_MASK) or constants.CPU_PINNING_ALL
        # those that it is born with: a number that was changed since waits for its next cold start
        pinned = cpu_pinning.parse(cpu_mask, command_line.vcpus.count(self.runtime.kvm_cmd))
        return cpu_mask, pinned is not None, self._read_passwords()

    def _read_passwords(self) -> dict[str, str]:
        """Read the files of the VNC and SPICE passwords, by protocol.

        A password file may be set for the whole cluster, or since the guest's first start: where
        the guest has no display that asks for a password, there is none to be set.
        """
        hvp = self.guest.instance.hvparams
        files = {
            "vnc": text_or_none(hvp, constants.HV_VNC_PASSWORD_FILE),
            "spice": text_or_none(hvp, constants.HV_KVM_SPICE_PASSWORD_FILE),
        }
        return {
            protocol: _read_password(path, protocol)
            for protocol, path in files.items()
            if path and command_line.takes_password(self.runtime.kvm_cmd, protocol)
        }

    def nic_features(self) -> Features:
        """What the TAP devices of the guest have to offer, as for ``OpenTap``."""
        vcpus = command_line.vcpus_of(self.runtime.kvm_cmd)
        return command_line.tap_features(self._up_hvp, self.facts, vcpus)

    def _firmware(self) -> FirmwareDisk | None:
        """Look at the guest's firmware disk, if it has one."""
        if not command_line.uefi.is_used(self.runtime.kvm_cmd):
            return None
        return firmware_disk.look(self.guest.name, self.runtime.kvm_disks, self._up_hvp)

    def _make_chroot(self) -> None:
        if self.guest.instance.hvparams[constants.HV_KVM_USE_CHROOT]:
            utils.EnsureDirs([(self.guest.files.chroot, constants.SECURE_DIR_MODE)])

    @contextlib.contextmanager
    def _taps(self, undo: Undo) -> Iterator[list[HostNic]]:
        """Open and configure the TAP devices; ours are closed at the end, QEMU's stay."""
        host_nics = taps.open_taps(
            self.runtime.kvm_nics, self.nic_features(), self.guest.seams.open_tap
        )
        try:
            for seq, host in enumerate(host_nics):
                if not (self.incoming and taps.waits_for_migration(host.nic)):
                    undo.add(
                        f"NIC {seq}",
                        partial(nic_scripts.undo, self.guest.instance, seq, host.nic, host.tap),
                    )
                    self._configure_nic(self.guest.instance, seq, host.nic, host.tap)
            yield host_nics
        finally:
            taps.close(host_nics)

    def _take_uid(self) -> uidpool.LockedUid | None:
        """Take a user id from Ganeti's pool, where the security model says so.

        It stays locked until QEMU is seen to use it. Its file is written at once, so that
        whatever cleans up the instance gives it back.
        """
        if self.guest.instance.hvparams[constants.HV_SECURITY_MODEL] != constants.HT_SM_POOL:
            return None
        uid = uid_pool.take()
        try:
            utils.WriteFile(self.guest.files.uidfile, data=uid.AsStr())
        except BaseException:
            uidpool.ReleaseUid(uid)
            raise
        return uid

    def command(self, host_nics: list[HostNic], uid: uidpool.LockedUid | None = None) -> list[str]:
        """Make the whole command line.

        Args:
            host_nics: the NICs with the descriptors of their TAP devices.
            uid: a user id of Ganeti's pool, or None.

        Raises:
            errors.HypervisorError: QEMU cannot be told what the guest consists of.
        """
        if not self.runtime.kvm_cmd:
            raise errors.HypervisorError(f"{self.guest.files.runtime} holds no command")
        with told_of(self.guest.files.runtime):
            return self._complete(host_nics, uid)

    def _complete(self, host_nics: list[HostNic], uid: uidpool.LockedUid | None) -> list[str]:
        return command_line.complete(
            self.runtime.kvm_cmd,
            Completion(
                instance=self.guest.instance,
                hvp=self._up_hvp,
                facts=self.facts,
                paths=new_runtime.paths(self.guest.files),
                nics=[AttachedNic(host.nic, host.tapfds, host.vhostfds) for host in host_nics],
                disks=self.runtime.kvm_disks,
                incoming=self.incoming,
                pool_user=uid_pool.name_of(uid.GetUid()) if uid else None,
                options=self.options,
                firmware=self._firmware(),
                memory=None if self.incoming else self._startup_memory(),
            ),
        )

    def _startup_memory(self) -> int:
        return balloon.startup_memory(self.guest.instance.beparams)

    def _balloon_and_go(self) -> Iterator[Command]:
        """Let the guest run, with the memory that the node can spare."""
        if self.incoming:
            return  # its memory comes as it is, and it has no driver to ask before it runs
        wanted = self._startup_memory()
        room = command_line.memory.room_of(self.runtime.kvm_cmd)
        grown = room is not None and room.requested(wanted) > 0
        most = number(self.guest.instance.beparams, constants.BE_MAXMEM)
        less = wanted < most and not grown
        if less and command_line.has_balloon(self.runtime.kvm_cmd):
            yield partial(control.balloon, size=wanted * balloon.MIB)
        if command_line.START_PAUSED not in self.runtime.kvm_cmd:
            yield control.cont

    def _give_commands(self, commands: list[Command]) -> None:
        limits = disk_limits.of(self.guest.instance.hvparams, self.options)
        if not (commands or limits):
            return
        with self.guest.monitor() as qmp:
            if limits:
                self._limit_disks(qmp, limits)
            for command in commands:
                command(qmp)

    def _limit_disks(self, qmp: QmpConnection, limits: GuestLimits) -> None:
        disks = boot_type.numbered_data_disks(self.runtime.kvm_disks)
        try:
            disk_limits.apply(qmp, limits, disks, self.guest.instance.uuid)
        except errors.HypervisorError as err:
            if self._is_new:
                raise
            guest_options.warn(self.guest.name, err)

    def _kill(self) -> None:
        if self.guest.pid() is not None:
            process.kill(self.guest.files)

    def _remove_files(self) -> None:
        """Remove the instance's files, but never from under a QEMU that is or may be there."""
        if (pid := self.guest.pid()) is not None:
            raise errors.HypervisorError(f"they were left to its QEMU, process {pid}")
        instance_files.remove_all(self.guest.files)


def check_down(name: str, pid_alive: PidAlive) -> None:
    """Raise ``errors.HypervisorError`` if the instance runs already."""
    _, pid, alive = pid_alive
    if alive:
        raise errors.HypervisorError(
            f"Instance {name} was not started: it runs already (process {pid})"
        )


def _set_passwords(passwords: dict[str, str]) -> Iterator[Command]:
    """Give QEMU its passwords; until then it lets nobody in."""
    for protocol, password in passwords.items():
        yield partial(control.set_password, protocol=protocol, password=password)


def _read_password(path: str, protocol: str) -> str:
    try:
        password = str(utils.ReadOneLineFile(path, strict=True))
    except (OSError, ValueError, errors.GenericError) as err:
        raise errors.HypervisorError(f"No password can be read from {path}: {err}") from err
    if protocol == "spice" and len(password.encode()) > _MOST_OF_SPICE:
        raise errors.HypervisorError(
            f"No password can be read from {path}: SPICE takes one of {_MOST_OF_SPICE} bytes at"
            " most"
        )
    return password
