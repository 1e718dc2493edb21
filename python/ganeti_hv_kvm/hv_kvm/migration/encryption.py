"""Encrypted migration: QEMU's TLS with a pre-shared key, on either end.

QEMU is given the key by a file. The source's has read it when ``object-add`` returns; the target's
reads it for each connection that comes in, so there it stays until the guest has arrived.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from ganeti import errors

from ganeti_hv_kvm.hv_kvm.guest import files as instance_files
from ganeti_hv_kvm.hv_kvm.guest import key_files, process_view
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.guest.key_files import Owner
from ganeti_hv_kvm.hv_kvm.qemu.verbs import control
from ganeti_hv_kvm.hv_kvm.qemu.verbs import migration as verbs

from . import key

if TYPE_CHECKING:
    from ganeti_hv_kvm.hv_kvm.monitor import QmpConnection

#: What QEMU knows the key by.
_OBJECT = "ganeti-migration-key"
#: QEMU's words for its part.
SOURCE, TARGET = "client", "server"


def lend(guest: Guest, qmp: QmpConnection, part: str, number: str) -> None:
    """Give QEMU the key of a migration, in place of any other; it does not use it yet.

    Args:
        qmp: a connection to it.
        part: ``SOURCE`` or ``TARGET``.
        number: of the migration.

    Raises:
        errors.HypervisorError: this node does not have the cluster's secret, or this QEMU no TLS;
            nothing is left of the attempt.
    """
    secret = key.of(guest.instance, number)
    folder, as_seen, owner = _place(guest)
    take_back(qmp)
    key_files.write(folder, secret, owner)
    try:
        control.object_add(qmp, "tls-creds-psk", _OBJECT, {"endpoint": part, "dir": as_seen})
    except BaseException:
        instance_files.remove_keys(guest.files)
        raise
    if part == SOURCE:
        instance_files.remove_keys(guest.files)


def _place(guest: Guest) -> tuple[str, str, Owner]:
    """Where the key goes, that folder as QEMU sees it, and as whom it reads it."""
    pid = guest.pid()
    if pid is None:
        raise errors.HypervisorError("its QEMU is gone")
    view, files = process_view.of(pid), guest.files
    owner = Owner(view.uid, view.gid)
    if view.root == "/":
        return files.key_folder, files.key_folder, owner
    if view.root == os.path.realpath(files.chroot):
        return files.key_folder_in_chroot, f"/{instance_files.KEYS_IN_CHROOT}", owner
    raise errors.HypervisorError(
        f"its QEMU (process {pid}) has another root folder than this node gave it: {view.root}"
    )


def has_key(qmp: QmpConnection) -> bool:
    """Tell whether QEMU was lent a key.

    Raises:
        errors.HypervisorError: it does not tell.
    """
    return any(one["name"] == _OBJECT for one in control.qom_list(qmp, "/objects"))


def switch_on(qmp: QmpConnection) -> None:
    """Make QEMU use its key for the migration that comes next.

    Raises:
        errors.HypervisorError: it refuses.
    """
    # nobody has a certificate in which there could be a name
    verbs.migrate_set_parameters(qmp, {"tls-creds": _OBJECT, "tls-hostname": ""})


def take_back(qmp: QmpConnection) -> None:
    """Let QEMU forget its key, if it has one: the next migration is none of this one's.

    Raises:
        errors.HypervisorError: it does not tell, or refuses.
    """
    if has_key(qmp):
        verbs.migrate_set_parameters(qmp, {"tls-creds": ""})
        control.object_del(qmp, _OBJECT)


def end(guest: Guest, qmp: QmpConnection) -> None:
    """Remove all that a migration left of its key; what fails is only logged."""
    instance_files.remove_keys(guest.files)
    try:
        take_back(qmp)
    except errors.HypervisorError as err:
        logging.warning("QEMU of %s keeps the key of its migration: %s", guest.name, err)
