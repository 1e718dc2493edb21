"""How an instance is stopped, and what is cleaned up after it."""

from __future__ import annotations

import logging

from ganeti import constants, errors, utils

from ganeti_hv_kvm.errors import ProcessUnknownError
from ganeti_hv_kvm.hv_kvm.guest import files as instance_files
from ganeti_hv_kvm.hv_kvm.guest import process
from ganeti_hv_kvm.hv_kvm.guest.files import InstanceFiles
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.host import firmware_mappings, nic_scripts
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime
from ganeti_hv_kvm.hv_kvm.qemu.verbs import control

from . import power_button

#: Seconds that QEMU gets to answer at least.
_LEAST = 1.0


def power_off(guest: Guest) -> None:
    """End QEMU as pulling the plug would.

    Raises:
        errors.HypervisorError: the process cannot be ended.
    """
    if guest.pid() is not None:
        process.kill(guest.files)
    instance_files.remove_keys(guest.files)
    nic_scripts.undo_all(guest.files)
    clear_user_shutdown(guest.files)
    try:
        firmware_mappings.clean_up(guest.name)
    except errors.HypervisorError as err:
        logging.warning("%s is stopped, but: %s", guest.name, err)


def power_down(guest: Guest, timeout: float | None) -> bool:
    """Ask the guest to shut down (ACPI); without ACPI there is no way to ask, and QEMU is ended.

    With a ``timeout`` the caller repeats this call and forces the stop when the time is over: that
    is what Ganeti's node daemon does, and it gives up at the first error instead. So whatever kept
    the guest from being asked is then only logged: a later call may be luckier.

    Args:
        timeout: seconds after which the caller forces the stop, or None if it will not.

    Returns:
        Whether there is nobody left to be asked, or the guest was.

    Raises:
        errors.HypervisorError: the guest could not be asked.
    """
    files = guest.files
    if guest.pid() is None:
        clear_user_shutdown(files)
        return True
    if not guest.instance.hvparams[constants.HV_ACPI] and not _was_started_with_acpi(files):
        power_off(guest)
        return True
    try:
        connection = guest.monitor()
        if timeout is not None:
            connection.timeout = min(connection.timeout, max(timeout, _LEAST))
        with connection as qmp:
            power_button.press(qmp, files.name, control.query_status(qmp))
        asked = True
    except errors.HypervisorError as err:
        if timeout is None:
            raise
        asked = False
        logging.warning(
            "Instance %s was not asked to shut down (%s); Ganeti asks again, and ends it %s s after"
            " it asked first",
            files.name,
            err,
            timeout,
        )
    clear_user_shutdown(files)
    return asked


def _was_started_with_acpi(files: InstanceFiles) -> bool:
    """Tell whether the guest has a power button: parameters may have changed since its start."""
    try:
        started_with = KVMRuntime.from_serialized(utils.ReadFile(files.runtime)).up_hvp
    except (OSError, errors.GenericError) as err:
        logging.warning(
            "Instance %s: it is not known what it was started with: %s", files.name, err
        )
        return not isinstance(err, FileNotFoundError)
    return bool(started_with.get(constants.HV_ACPI))


def clean_up(guest: Guest) -> None:
    """Remove what a stopped instance left.

    Raises:
        errors.HypervisorError: it still runs (nothing was removed), or files are left (they are
            named).
    """
    files = guest.files
    try:
        pid = guest.pid()
    except ProcessUnknownError as err:
        raise ProcessUnknownError(
            f"Instance {files.name} was not cleaned up, and {files.runtime} and {files.nic_dir}"
            f" were left: {err}"
        ) from err
    if pid is not None:
        raise errors.HypervisorError(
            f"Instance {files.name} still runs (process {pid}): nothing was cleaned up"
        )
    nic_scripts.undo_all(files)
    instance_files.remove_all(files)
    clear_user_shutdown(files)
    firmware_mappings.clean_up(files.name)


def clear_user_shutdown(files: InstanceFiles) -> None:
    """Forget that the user shut the guest down from within."""
    utils.RemoveFile(files.shutdown)
