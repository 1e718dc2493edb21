"""What a guest is doing, as its QEMU tells it (QMP's ``query-status``).

Ganeti knows RUNNING and SHUTDOWN alone. A guest that stopped because its disk is full, or that
panicked, is RUNNING to Ganeti; it shows in the log and to our own tools.
"""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, NamedTuple

from ganeti_hv_kvm.errors import HypervisorError

if TYPE_CHECKING:
    from ganeti_hv_kvm._native import QmpConnection

_RUNNING = "running"
_LONGEST = 80

# QEMU's RunState, of its qapi/run-state.json: what it means, and whether it needs a person.
_STATES: dict[str, tuple[str, bool]] = {
    _RUNNING: ("runs", False),
    "debug": ("is held by a debugger", False),
    "inmigrate": ("waits for an incoming migration", False),
    "paused": ("is paused", False),
    "prelaunch": ("was not let run yet", False),
    "finish-migrate": ("is paused for the end of its migration", False),
    "postmigrate": ("is paused: it was migrated away", False),
    "restore-vm": ("is being restored", False),
    "save-vm": ("is being saved", False),
    "suspended": ("sleeps (ACPI S3)", False),
    "colo": ("is being copied (COLO)", False),
    "shutdown": ("has shut down, but its QEMU still runs", True),
    "io-error": ("is stopped: QEMU could not read or write one of its disks", True),
    "internal-error": ("is stopped: QEMU met an error inside the guest's CPU", True),
    "watchdog": ("is stopped: its watchdog ran out", True),
    "guest-panicked": ("is stopped: its operating system panicked", True),
}


class RunState(NamedTuple):
    """The state of a guest.

    Attributes:
        status: QEMU's own word for it, such as "io-error".
    """

    status: str

    @property
    def is_running(self) -> bool:
        """Tell whether the guest's CPUs run: only then can it obey its power button."""
        return self.status == _RUNNING

    @property
    def is_trouble(self) -> bool:
        """Tell whether the guest stopped for a reason that needs a person."""
        return _STATES.get(self.status, ("", True))[1]

    @property
    def meaning(self) -> str:
        """Say what it means, to follow "the guest"."""
        return _STATES.get(self.status, ("is in a state that is not known here", True))[0]

    @property
    def words(self) -> str:
        """Say what it means, and QEMU's word for it."""
        return self.meaning if self.is_running else f"{self.meaning} ({quoted(self.status)})"


def quoted(foreign: object) -> str:
    """Give what a peer said for a log or an error: short, and on one line."""
    text = foreign if isinstance(foreign, str) else reprlib.repr(foreign)
    short = text[:_LONGEST] + "..." if len(text) > _LONGEST else text
    return short if short.isascii() and short.isprintable() else ascii(short)


def ask(qmp: QmpConnection) -> RunState:
    """Ask a connected monitor for its guest's state; ``errors.HypervisorError`` if it cannot."""
    return read(qmp.execute_qmp("query-status"))


def read(answer: object) -> RunState:
    """Read the state out of the answer to ``query-status``.

    Raises:
        errors.HypervisorError: it has none; no state is guessed.
    """
    status = answer.get("status") if isinstance(answer, dict) else None
    if not isinstance(status, str):
        raise HypervisorError(f"QEMU tells no run state, but {quoted(answer)}")
    return RunState(status)


def log(name: str, state: RunState) -> None:
    """Write a state other than running to the log, as a warning if it needs a person."""
    import logging  # the operator's command, which is to be quick, has none

    if not state.is_running:
        level = logging.WARNING if state.is_trouble else logging.INFO
        logging.log(level, "The guest of %s %s", name, state.words)
