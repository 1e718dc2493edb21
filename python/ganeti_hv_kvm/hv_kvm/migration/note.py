"""A note on the source that the guest was paused for its migration, and ran before.

Ganeti calls a fresh object for each step, and an abort must neither leave a guest paused that ran
nor wake one that its owner had paused.
"""

from __future__ import annotations

import json
import logging

from ganeti import utils

from .view import MigratingGuest


def write(guest: MigratingGuest, run_state: str) -> None:
    """Note what the guest was doing before it was paused."""
    content = json.dumps({"pid": guest.pid(), "run_state": run_state})
    utils.WriteFile(guest.files.migration, data=content)


def read(guest: MigratingGuest) -> str | None:
    """Give the run state that was noted; None if nothing was, or of another QEMU process."""
    try:
        noted = json.loads(utils.ReadFile(guest.files.migration))
        return str(noted["run_state"]) if noted["pid"] == guest.pid() else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as err:
        logging.warning("What %s did before its migration cannot be read: %s", guest.name, err)
        return None


def remove(guest: MigratingGuest) -> None:
    """Forget it."""
    utils.RemoveFile(guest.files.migration)
