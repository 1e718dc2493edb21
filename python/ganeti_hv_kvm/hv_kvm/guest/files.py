"""Where the files of an instance lie on its node, and how they are removed.

Names and places are Ganeti's (``<run directory>/kvm-hypervisor/...``), so that a guest started by
the original module is found by this one and the other way round.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import tempfile
import time
from typing import NamedTuple

from ganeti import errors, uidpool, utils

from . import key_files

#: The kernel's limits in bytes: sockaddr_un (unix(7)), and NAME_MAX with room for what is written
#: first under another name (".new", and Ganeti's eight random characters).
_LONGEST_SOCKET = 107
_LONGEST_NAME = 255 - 16
#: In QEMU's chroot, which is empty otherwise.
KEYS_IN_CHROOT = "migration-keys"


class Directories(NamedTuple):
    """The directories of all instances; each is an absolute path."""

    pids: str
    uids: str
    ctrl: str
    conf: str
    nics: str
    chroot: str
    chroot_quarantine: str


class InstanceFiles(NamedTuple):
    """The paths of one instance. Nothing is created or checked by looking a path up."""

    directories: Directories
    name: str

    def _in(self, directory: str, suffix: str = "") -> str:
        entry = self.name + suffix
        if "/" in entry or "\0" in entry or entry in ("", ".", ".."):
            raise errors.HypervisorError(f"{self.name!r} is not the name of an instance")
        return f"{directory}/{entry}"

    @property
    def pidfile(self) -> str:
        """QEMU writes its process id here (-pidfile)."""
        return self._in(self.directories.pids)

    @property
    def uidfile(self) -> str:
        """The user id taken from the pool, with security_model=pool."""
        return self._in(self.directories.uids)

    @property
    def monitor(self) -> str:
        """Socket of the human monitor (-monitor)."""
        return self._in(self.directories.ctrl, ".monitor")

    @property
    def serial(self) -> str:
        """Socket of the guest's first serial line (-serial)."""
        return self._in(self.directories.ctrl, ".serial")

    @property
    def qmp(self) -> str:
        """Socket of the QMP monitor that Ganeti uses."""
        return self._in(self.directories.ctrl, ".qmp")

    @property
    def kvmd(self) -> str:
        """Socket of the QMP monitor that ganeti-kvmd listens on."""
        return self._in(self.directories.ctrl, ".kvmd")

    @property
    def qga(self) -> str:
        """Socket of the guest agent."""
        return self._in(self.directories.ctrl, ".qga")

    @property
    def shutdown(self) -> str:
        """Written by ganeti-kvmd when the guest itself shut down."""
        return self._in(self.directories.ctrl, ".shutdown")

    @property
    def migration(self) -> str:
        """What the guest did before its migration from here paused it."""
        return self._in(self.directories.ctrl, ".migration")

    @property
    def key_folder(self) -> str:
        """Holds the key of an encrypted migration while it is needed."""
        return self._in(self.directories.ctrl, ".tls")

    @property
    def key_folder_in_chroot(self) -> str:
        """The same where QEMU sees nothing outside its chroot."""
        return f"{self.chroot}/{KEYS_IN_CHROOT}"

    @property
    def migration_state(self) -> str:
        """How long the guest may stand still at the end of the migration that is under way."""
        return self._in(self.directories.ctrl, ".migstate")

    @property
    def runtime(self) -> str:
        """What the guest was started with."""
        return self._in(self.directories.conf, ".runtime")

    @property
    def chroot(self) -> str:
        """Root directory of QEMU, with use_chroot."""
        return self._in(self.directories.chroot)

    @property
    def nic_dir(self) -> str:
        """Holds a file for each NIC."""
        return self._in(self.directories.nics)

    def nic_file(self, seq: int) -> str:
        """Holds the name of the TAP device of the NIC with this number."""
        return str(utils.PathJoin(self.nic_dir, str(seq)))

    @property
    def sockets(self) -> tuple[str, ...]:
        """All sockets that QEMU makes."""
        return (self.monitor, self.serial, self.qmp, self.kvmd, self.qga)


def names_in(directory: str) -> list[str]:
    """Name what lies in a directory; Python itself gives up where a signal comes in between."""
    try:
        return os.listdir(directory)
    except InterruptedError:
        return names_in(directory)


def check_names(files: InstanceFiles) -> None:
    """Look whether all files of an instance can have the names that they are to have.

    Ganeti checks a name when it makes an instance; one from an old cluster, or a node with a run
    directory of its own, may still be too long for the kernel. QEMU would say so after its start.

    Raises:
        errors.HypervisorError: which path, and by how much it is too long.
    """
    for path in (*files.sockets, files.runtime, files.shutdown, files.migration):
        name = len(os.fsencode(os.path.basename(path))) - _LONGEST_NAME
        whole = len(os.fsencode(path)) - _LONGEST_SOCKET if path in files.sockets else 0
        if (over := max(name, whole)) > 0:
            raise errors.HypervisorError(
                f"Instance {files.name}: its name is {over} bytes too long for the file {path};"
                " nothing was started. Rename it (gnt-instance rename)"
            )


def read_uid(uidfile: str) -> int | None:
    """Give the user id in ``uidfile``; None, and a warning in the log, if there is none."""
    try:
        return int(utils.ReadOneLineFile(uidfile))
    except FileNotFoundError:
        return None
    except (OSError, TypeError, ValueError, errors.GenericError) as err:
        logging.warning("No user id can be read from %s: %s", uidfile, err)
        return None


def release_uid(files: InstanceFiles) -> None:
    """Give the instance's user id back to the pool, and remove its file."""
    uid = read_uid(files.uidfile)
    utils.RemoveFile(files.uidfile)
    if uid is not None:
        uidpool.ReleaseUid(uid)


def has_keys(files: InstanceFiles) -> bool:
    """Tell whether the key of a migration is, or may be, on this node."""
    return os.path.lexists(files.key_folder) or os.path.lexists(files.key_folder_in_chroot)


def age_of_keys(files: InstanceFiles) -> float:
    """Give the seconds since the key was written; 0 if there is none, or it cannot be told."""
    written = []
    for folder in (files.key_folder, files.key_folder_in_chroot):
        with contextlib.suppress(OSError):
            written.append(os.lstat(folder).st_mtime)
    return time.time() - max(written) if written else 0.0


def remove_keys(files: InstanceFiles) -> None:
    """Remove what a migration left of its key; what stays is logged: nobody waits for that."""
    for folder in (files.key_folder, files.key_folder_in_chroot):
        _remove_key_folder(folder)


def _remove_key_folder(folder: str) -> None:
    try:
        key_files.remove(folder)
    except OSError as err:
        logging.warning("The folder %s of a migration's key is still there: %s", folder, err)


def remove_chroot(files: InstanceFiles) -> None:
    """Remove the chroot directory; one that is not empty goes to quarantine, for a person to see.

    QEMU's chroot is empty by design: whatever lies in it was put there by somebody who got into
    the QEMU process, or through it.
    """
    try:
        utils.RemoveDir(files.chroot)
    except OSError as err:
        if err.errno == errno.ENOENT:
            return
        if err.errno != errno.ENOTEMPTY:
            raise
        prefix = f"{files.name}-{utils.TimestampForFilename()}-"
        quarantine = tempfile.mkdtemp(dir=files.directories.chroot_quarantine, prefix=prefix)
        logging.warning(
            "Something lies in the chroot directory of instance %s. It was moved to %s:"
            " look at it, then remove it by hand",
            files.name,
            quarantine,
        )
        utils.RenameFile(files.chroot, quarantine)


def remove_all(files: InstanceFiles) -> None:
    """Remove every file of an instance that is down, and give its user id back.

    Each step is tried, whatever became of the one before it.

    Raises:
        errors.HypervisorError: with the list of what could not be removed.
    """
    problems: list[str] = []

    def attempt(what: str, step: object) -> None:
        try:
            step()  # type: ignore[operator]
        except (OSError, errors.GenericError) as err:
            problems.append(f"{what}: {err}")

    made = (files.pidfile, *files.sockets, files.migration, files.migration_state, files.runtime)
    for path in made:
        attempt(path, lambda path=path: utils.RemoveFile(path))
    attempt(files.uidfile, lambda: release_uid(files))
    attempt(files.nic_dir, lambda: _remove_tree(files.nic_dir))
    attempt(files.key_folder, lambda: key_files.remove(files.key_folder))
    # it was QEMU's: what that put there beside the key goes to quarantine with the chroot
    _remove_key_folder(files.key_folder_in_chroot)
    attempt(files.chroot, lambda: remove_chroot(files))
    if problems:
        raise errors.HypervisorError(
            f"Instance {files.name}: these files are still there: {'; '.join(problems)}"
        )


def _remove_tree(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)
