"""What is to be done at the end of a migration, from what one node sees. No system calls here.

The guest must never run twice. Each node sees only its own QEMU, and a request may be late or may
never come. So: a source that may have handed its guest over is not resumed, and a target that may
have taken it over is not ended. docs/migration.md has the same tables for operators.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from ganeti_hv_kvm.qmp_values.migration import Migration


class NodeState(NamedTuple):
    """What is known of the guest on this node.

    Attributes:
        alive: its process is there; None: that cannot be told.
        answers: QEMU told the rest; otherwise it is empty.
        run_state: query-status ("running", "inmigrate", "postmigrate", ...).
        status: query-migrate ("none", "active", "completed", ...).
        error: why the migration failed, in QEMU's words; or why nothing can be told.
        outgoing: the status is of sending the guest away; else of how it came here.
    """

    alive: bool | None = True
    answers: bool = True
    run_state: str = ""
    status: str = "none"
    error: str = ""
    outgoing: bool = False

    @classmethod
    def told(cls, migration: Migration, run_state: str) -> NodeState:
        """Give what a QEMU that answers tells."""
        return cls(
            run_state=run_state,
            status=migration.status,
            error=migration.error,
            outgoing=migration.outgoing,
        )


class AtSource(enum.Enum):
    """What the source does."""

    CLEAN_UP = "remove the files of a guest that is gone"
    END = "end the stale QEMU, then clean up"
    REFUSE = "leave it: the guest is still here"
    UNKNOWN = "leave it: it cannot be told where the guest is"
    MOVED = "leave it stopped: the guest is at the target"
    SPLIT = "leave it: the guest runs at the target, and part of its memory is here"
    DOUBTFUL = "leave it stopped: the target may have the guest"
    PAUSE = "pause the guest, so that QEMU does not resume it by itself"
    CANCEL = "cancel the migration"
    WAIT = "wait: QEMU is about to decide it"
    STAY = "the guest stays here: resume it if the migration paused it"


class AtTarget(enum.Enum):
    """What the target does."""

    CLEAN_UP = "remove the files of a guest that is gone"
    END = "end the QEMU that waits for the guest, then clean up"
    UNKNOWN = "leave it: it cannot be told whether the guest is here"
    KEEP = "leave it: the guest is here"
    LOST = "the guest should be here, but its QEMU is gone"
    WAIT = "wait: QEMU is still receiving"
    RESUME = "take it over; it is paused, resume it if it was running"
    DONE = "take it over"


_WAITING = "inmigrate"
_MOVING = "finish-migrate"
_MOVED = "postmigrate"
_PAUSED = "paused"
#: Never let run, or reset while it was not running: a reset that the guest asked for in the moment
#: of its pause is carried out afterwards, and QEMU says this from then on.
_RESET = "prelaunch"

#: What an abort does, where the state of the migration alone decides.
_ABORTED: dict[str, AtSource] = {
    "none": AtSource.STAY,
    "completed": AtSource.STAY,  # it came here that way
    # nothing of the guest's last state was sent yet
    "setup": AtSource.CANCEL,
    "wait-unplug": AtSource.CANCEL,
    "pre-switchover": AtSource.CANCEL,
    # the last of it is being sent
    "device": AtSource.WAIT,
    "cancelling": AtSource.WAIT,
    # the target runs the guest, or both do in step
    "postcopy-active": AtSource.SPLIT,
    "postcopy-device": AtSource.SPLIT,
    "postcopy-paused": AtSource.SPLIT,
    "postcopy-recover": AtSource.SPLIT,
    "postcopy-recover-setup": AtSource.SPLIT,
    "colo": AtSource.SPLIT,
}


def at_source(seen: NodeState, success: bool) -> AtSource:
    """Decide for the node that the guest came from; ``success`` is what Ganeti says."""
    if seen.alive is None:
        return AtSource.UNKNOWN
    if not seen.alive:
        return AtSource.CLEAN_UP
    if not seen.answers:
        return AtSource.END if success else AtSource.UNKNOWN
    return _source_after_success(seen) if success else _source_after_abort(seen)


def is_at_rest(seen: NodeState) -> bool:
    """Whether no migration away from here is under way; "completed" may have brought the guest."""
    return seen.status in ("none", "failed", "cancelled", "completed") and not has_left(seen)


def has_left(seen: NodeState) -> bool:
    """Whether all of the guest was sent away from here.

    QEMU tells the same status of a guest that once came here by migration, and runs. One that has
    left and is reset is no more "postmigrate": guests whose kernel panics did so by themselves.
    """
    if seen.status != "completed":
        return False
    return seen.run_state in (_MOVING, _MOVED) or (seen.outgoing and seen.run_state == _RESET)


def has_arrived(seen: NodeState) -> bool:
    """Whether the migration that QEMU tells of brought the guest here."""
    return seen.status == "completed" and not seen.outgoing and not has_left(seen)


def is_paused(seen: NodeState) -> bool:
    """Whether the guest does nothing until it is told to go on, and nothing else is the matter."""
    return seen.run_state in (_PAUSED, _RESET)


def _source_after_success(seen: NodeState) -> AtSource:
    return AtSource.END if has_left(seen) else AtSource.REFUSE


def _source_after_abort(seen: NodeState) -> AtSource:
    decided = AtSource.MOVED if has_left(seen) else _ABORTED.get(seen.status)
    if decided:
        return decided
    if seen.run_state == _MOVING:
        return AtSource.WAIT
    if seen.status == "failed":
        return AtSource.STAY
    if seen.status == "cancelled":
        # cancelled after the last byte was sent: nobody here can tell whether it arrived
        return AtSource.DOUBTFUL if seen.run_state == _MOVED else AtSource.STAY
    if seen.run_state == _MOVED:
        return AtSource.WAIT
    # QEMU resumes a guest that ran when its migration is cancelled, even if that comes too late
    return AtSource.PAUSE if seen.run_state == "running" else AtSource.CANCEL


def at_target(seen: NodeState, success: bool) -> AtTarget:
    """Decide for the node that the guest goes to; ``success`` is what Ganeti says."""
    if seen.alive is None:
        return AtTarget.UNKNOWN
    if not seen.alive:
        return AtTarget.LOST if success else AtTarget.CLEAN_UP
    if not seen.answers:
        return AtTarget.UNKNOWN
    if is_target(seen):
        return AtTarget.WAIT if success else AtTarget.END
    if not success:
        return AtTarget.KEEP
    return AtTarget.RESUME if is_paused(seen) else AtTarget.DONE


def is_target(seen: NodeState) -> bool:
    """Whether its QEMU waits for a guest from another node."""
    return seen.run_state == _WAITING


def in_words(seen: NodeState, success: bool) -> str:
    """Say what this node does, by what its QEMU tells, once Ganeti calls the migration settled."""
    decision = decide(seen, success)
    return f"{decision.value} ({decision.name})"


def decide(seen: NodeState, success: bool) -> AtSource | AtTarget:
    """Decide for this node, as the side that its QEMU tells it is."""
    was_target = is_target(seen) or has_arrived(seen)
    return at_target(seen, success) if was_target else at_source(seen, success)
