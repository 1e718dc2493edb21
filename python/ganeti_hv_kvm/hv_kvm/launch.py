"""Starting QEMU: everything that has to be there before, around and after the process.

A launch either leads to a guest that runs (or is paused because that was asked for, or waits for
an incoming migration) or leaves nothing.
"""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from ganeti import constants, errors, objects, ssconf, uidpool, utils

from . import (
    affinity,
    command_line,
    instance_files,
    instance_process,
    machine_type,
    memory,
    nic_scripts,
    nics,
    plan,
    user_shutdown,
)
from .command_line import AttachedNic, Completion
from .guest import disk_limits
from .guest.unfit_values import told_of
from .host import child_status
from .instance_files import InstanceFiles
from .nics import HostNic, OpenTapFunction
from .qemu_binary import QemuFacts
from .shutdown import PidAlive
from .undo import Undo

#: Seconds that QEMU may take to go into the background, or to give up.
_STARTING = 30.0

#: QMP's name and arguments
Command = tuple[str, dict[str, Any] | None]


class Hooks(NamedTuple):
    """What the hypervisor object lends to a launch, looked up at the time of the call.

    Ganeti's tests, and site code, replace these on the class or in the module.
    """

    open_tap: OpenTapFunction
    qmp_connection: Callable[[str], Any]
    pid_alive: Callable[[str], PidAlive]
    configure_nic: Callable[[Any, int, Any, str], None]
    execute_cpu_affinity: Callable[[Any, str], None]


class QemuLog:
    """What QEMU writes to its log (-D): with -daemonize most of its errors go there alone."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._before = self._changed()

    def _changed(self) -> int | None:
        try:
            return os.stat(self._path).st_mtime_ns
        except OSError:
            return None

    def news(self, most: int = 2000) -> str:
        """Give the log's last ``most`` bytes, if it was written to since this object was made.

        QEMU starts the log anew, so its old length says nothing.
        """
        if self._changed() == self._before:
            return ""
        try:
            with open(self._path, "rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - most))
                return log.read().decode("utf-8", "replace").strip()
        except OSError:
            return ""


class Launch(NamedTuple):
    """One start of one guest.

    Attributes:
        instance: Ganeti's instance; its hvparams are those of today.
        runtime: what the runtime file holds: command, NICs, hvparams of the guest's first start,
            disks.
        facts: what the QEMU binary can do.
        incoming: address and port to wait on for a migration, or None.
    """

    instance: Any
    runtime: Any
    facts: QemuFacts
    files: InstanceFiles
    hooks: Hooks
    incoming: tuple[str, int] | None = None

    def run(self, save_runtime: Callable[[], None] | None = None) -> None:
        """Start the guest.

        Args:
            save_runtime: writes the runtime file, where there is none yet.

        Raises:
            errors.HypervisorError: what failed; nothing is left of the attempt, or the error says
                what could not be undone.
        """
        name = self.instance.name
        check_down(name, self.hooks.pid_alive(name))
        cpu_mask, pinned, passwords = self._preconditions()
        utils.RemoveFile(self.files.shutdown)
        wants_kvmd = self.instance.hvparams[constants.HV_KVM_USER_SHUTDOWN]
        if wants_kvmd:
            user_shutdown.ensure_daemon()
        with Undo(f"start of {name}") as undo:
            undo.add("files of the instance", self._remove_files)
            if save_runtime:
                save_runtime()
            self._make_chroot()
            uid = self._take_uid()
            with self._taps(undo) as host_nics:
                command = self.command(host_nics, uid)
                undo.add("QEMU", self._kill, uses_earlier=True)
                self._run_qemu(command, host_nics)
                if wants_kvmd:
                    user_shutdown.show_again(self.files.kvmd)
                nics.write_files(host_nics, self.files)
                nic_scripts.remember(self.instance, self.files)
            if uid:
                uid.Unlock()
            if pinned:
                self.hooks.execute_cpu_affinity(self.instance, cpu_mask)
            self._give_commands([*_set_passwords(passwords), *self._balloon_and_go()])

    def check(self) -> None:
        """Find out what would make ``run`` fail, as far as that can be known before.

        Raises:
            errors.HypervisorError: what is wrong with the parameters or with this node.
        """
        machine_type.check(self.runtime[0], self.facts)
        self._preconditions()
        self.nic_features()

    def has_power_button(self) -> bool:
        """Tell whether the guest can be asked to shut down (ACPI), as it was started."""
        return bool(self._up_hvp()[constants.HV_ACPI])

    def _preconditions(self) -> tuple[str, bool, dict[str, str]]:
        """Give the CPU mask, whether it pins anything, and the passwords by protocol."""
        instance_files.check_names(self.files)
        cpu_mask = self._up_hvp().get(constants.HV_CPU_MASK) or constants.CPU_PINNING_ALL
        pinned = affinity.parse(cpu_mask, self.instance.beparams[constants.BE_VCPUS])
        return cpu_mask, pinned is not None, self._read_passwords()

    def _up_hvp(self) -> dict[str, Any]:
        """Parameters as of the guest's first start; what is newer than it, as of today."""
        hvp: dict[str, Any] = objects.FillDict(self.instance.hvparams, self.runtime[2])
        return hvp

    def _read_passwords(self) -> dict[str, str]:
        """Read the files of the VNC and SPICE passwords, by protocol.

        A password file may be set for the whole cluster, or since the guest's first start: where
        the guest has no display that asks for a password, there is none to be set.
        """
        hvp = self.instance.hvparams
        files = {
            "vnc": hvp[constants.HV_VNC_PASSWORD_FILE],
            "spice": hvp[constants.HV_KVM_SPICE_PASSWORD_FILE],
        }
        return {
            protocol: _read_password(path)
            for protocol, path in files.items()
            if path and command_line.takes_password(self.runtime[0], protocol)
        }

    def nic_features(self) -> dict[str, Any]:
        """What the TAP devices of the guest have to offer, as for ``OpenTap``."""
        vcpus = command_line.vcpus_of(self.runtime[0])
        features, _, _ = command_line.device_features(self._up_hvp(), self.facts, vcpus)
        return features

    def _make_chroot(self) -> None:
        if self.instance.hvparams[constants.HV_KVM_USE_CHROOT]:
            utils.EnsureDirs([(self.files.chroot, constants.SECURE_DIR_MODE)])

    @contextlib.contextmanager
    def _taps(self, undo: Undo) -> Iterator[list[HostNic]]:
        """Open and configure the TAP devices; ours are closed at the end, QEMU's stay."""
        host_nics = nics.open_taps(self.runtime[1], self.nic_features(), self.hooks.open_tap)
        try:
            for seq, host in enumerate(host_nics):
                if not (self.incoming and nics.waits_for_migration(host.nic)):
                    undo.add(
                        f"NIC {seq}",
                        partial(nic_scripts.undo, self.instance, seq, host.nic, host.tap),
                    )
                    self.hooks.configure_nic(self.instance, seq, host.nic, host.tap)
            yield host_nics
        finally:
            nics.close(host_nics)

    def _take_uid(self) -> Any:
        """Take a user id from Ganeti's pool, where the security model says so.

        It stays locked until QEMU is seen to use it. Its file is written at once, so that
        whatever cleans up the instance gives it back.
        """
        if self.instance.hvparams[constants.HV_SECURITY_MODEL] != constants.HT_SM_POOL:
            return None
        ranges = uidpool.ParseUidPool(ssconf.SimpleStore().GetUidPool(), separator="\n")
        try:
            uid = uidpool.RequestUnusedUid(set(uidpool.ExpandUidPool(ranges)))
        except errors.LockError as err:
            raise errors.HypervisorError(f"Ganeti's pool has no free user id: {err}") from err
        try:
            utils.WriteFile(self.files.uidfile, data=uid.AsStr())
        except BaseException:
            uidpool.ReleaseUid(uid)
            raise
        return uid

    def command(self, host_nics: list[HostNic], uid: Any = None) -> list[str]:
        """Make the whole command line.

        Args:
            host_nics: the NICs with the descriptors of their TAP devices.
            uid: a user id of Ganeti's pool, or None.

        Raises:
            errors.HypervisorError: QEMU cannot be told what the guest consists of.
        """
        if not self.runtime[0]:
            raise errors.HypervisorError(f"{self.files.runtime} holds no command")
        with told_of(self.files.runtime):
            return self._complete(host_nics, uid)

    def _complete(self, host_nics: list[HostNic], uid: Any) -> list[str]:
        return command_line.complete(
            self.runtime[0],
            Completion(
                instance=self.instance,
                hvp=self._up_hvp(),
                facts=self.facts,
                paths=plan.paths(self.files),
                nics=[AttachedNic(host.nic, host.tapfds, host.vhostfds) for host in host_nics],
                disks=self.runtime[3],
                incoming=self.incoming,
                pool_user=_user_name(uid.GetUid()) if uid else None,
            ),
        )

    def _run_qemu(self, command: list[str], host_nics: list[HostNic]) -> None:
        name = self.instance.name
        log = QemuLog(plan.log_file(name))
        fds, started = nics.all_fds(host_nics), list[int]()
        try:
            result = utils.RunCmd(command, noclose_fds=fds, postfork_fn=started.append)
        except BaseException as err:
            # QEMU may be on its way: what is to end it must find its pid file
            left = [pid for pid in started if not child_status.wait_for_end(pid, _STARTING)]
            if not isinstance(err, Exception):
                raise
            more = f"; process {left[0]}, to become its QEMU, is still there" if left else ""
            raise errors.HypervisorError(f"Instance {name} was not started: {err}{more}") from err
        if result.failed:
            # warnings may have gone to the terminal, and the error to the log
            said = "\n".join(filter(None, (result.output.strip(), log.news()))) or "nothing"
            raise errors.HypervisorError(
                f"Instance {name} was not started: QEMU {result.fail_reason} and said: {said}"
            )
        if not self.hooks.pid_alive(name)[2]:
            raise errors.HypervisorError(
                f"Instance {name} was not started: QEMU came up and went again,"
                f" and said: {log.news() or 'nothing'}"
            )

    def _balloon_and_go(self) -> Iterator[Command]:
        """Let the guest run, with the memory that the node can spare."""
        if self.incoming:
            return  # its memory comes as it is, and it has no driver to ask before it runs
        wanted = memory.startup_memory(self.instance.beparams)
        if wanted < self.instance.beparams[constants.BE_MAXMEM]:
            yield "balloon", {"value": wanted * memory.MIB}
        if command_line.START_PAUSED not in self.runtime[0]:
            yield "cont", None

    def _give_commands(self, commands: list[Command]) -> None:
        limits = disk_limits.of(self.instance.hvparams)
        if not (commands or limits):
            return
        with self.hooks.qmp_connection(self.files.qmp) as qmp:
            if limits:
                disks = [disk for disk, _, _ in self.runtime[3]]
                disk_limits.apply(qmp, limits, disks, self.instance.uuid)
            for command, arguments in commands:
                qmp.execute_qmp(command, arguments)

    def _kill(self) -> None:
        if self.hooks.pid_alive(self.instance.name)[2]:
            instance_process.kill(self.files)

    def _remove_files(self) -> None:
        """Remove the instance's files, but never from under a QEMU that is or may be there."""
        _, pid, alive = self.hooks.pid_alive(self.instance.name)
        if alive:
            raise errors.HypervisorError(f"they were left to its QEMU, process {pid}")
        instance_files.remove_all(self.files)


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
        yield "set_password", {"protocol": protocol, "password": password}


def _read_password(path: str) -> str:
    try:
        return str(utils.ReadOneLineFile(path, strict=True))
    except (OSError, errors.GenericError) as err:
        raise errors.HypervisorError(f"No password can be read from {path}: {err}") from err


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        raise errors.HypervisorError(
            f"User id {uid} of Ganeti's pool has no name on this node; QEMU cannot run as that user"
        ) from None
