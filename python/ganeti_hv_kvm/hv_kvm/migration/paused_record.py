"""A note on the source that the guest was paused for its migration, and ran before.

Ganeti calls a fresh object for each step, and an abort must neither leave a guest paused that ran
nor wake one that its owner had paused. The note belongs to one QEMU process, and lies beside its
sockets: it goes with them.
"""

from __future__ import annotations

import json
import logging
import os
import time
from typing import NamedTuple

from ganeti import errors, utils

from ganeti_hv_kvm.hv_kvm.ganeti.unfit_values import UNFIT
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest


class Noted(NamedTuple):
    """What is noted of a guest.

    Attributes:
        run_state: what it was doing before it was paused.
        aborted: Ganeti has aborted this migration; it was not settled then.
        age: seconds since the note was written.
    """

    run_state: str
    aborted: bool
    age: float


def write(guest: Guest, run_state: str, *, aborted: bool = False) -> None:
    """Note what the guest was doing before it was paused.

    Raises:
        errors.HypervisorError: the note cannot be written; nothing else was done.
    """
    path = guest.files.migration
    content = json.dumps({"pid": guest.pid(), "run_state": run_state, "aborted": aborted})
    try:
        utils.WriteFile(path, data=content)
    except OSError as err:
        raise errors.HypervisorError(
            f"What {guest.name} did before its migration cannot be noted in {path}: {err}"
        ) from err


def read(guest: Guest) -> Noted | None:
    """Give what was noted; None if nothing was, or of another QEMU process."""
    path = guest.files.migration
    try:
        noted = json.loads(utils.ReadFile(path))
        if noted["pid"] != guest.pid():
            return None
        age = time.time() - os.stat(path).st_mtime
        return Noted(str(noted["run_state"]), noted.get("aborted") is True, age)
    except FileNotFoundError:
        return None
    except (OSError, *UNFIT, errors.GenericError) as err:
        logging.warning("What %s did before its migration cannot be read: %s", guest.name, err)
        return None


def remove(guest: Guest) -> None:
    """Forget it. One that stays is only logged: the next migration writes it anew."""
    try:
        utils.RemoveFile(guest.files.migration)
    except OSError as err:
        logging.warning("The note %s is still there: %s", guest.files.migration, err)
