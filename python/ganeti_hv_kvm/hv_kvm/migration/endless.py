"""Migrations that do not come to an end.

A longer stand-still is allowed, the guest is slowed down, or they are given up.

A guest that changes its memory faster than the network takes it is sent again and again. What is
done about that, the settings say, and upstream's parameters migration_downtime_max and
migration_cancel_threshold, where Ganeti has them and an instance has a value. How far the limit was
raised is in a file, as each look is a process of its own; its place and form are upstream's.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from ganeti import constants, errors, utils

from ganeti_hv_kvm.hv_kvm.ganeti import settings
from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import HvParams, number, number_or_zero
from ganeti_hv_kvm.hv_kvm.guest.files import InstanceFiles
from ganeti_hv_kvm.hv_kvm.qemu.verbs import migration as verbs
from ganeti_hv_kvm.qmp_values.migration import Migration

from . import capabilities

if TYPE_CHECKING:
    from ganeti import objects

    from ganeti_hv_kvm.hv_kvm.monitor import QmpConnection

_CEILING: str | None = getattr(constants, "HV_MIGRATION_DOWNTIME_MAX", None)
_THRESHOLD: str | None = getattr(constants, "HV_MIGRATION_CANCEL_THRESHOLD", None)

#: How often the guest's memory was sent, from which on the limit is raised.
_TOO_OFTEN = 2.0
_AUTO_CONVERGE = "auto-converge"
#: QEMU's own first step of slowing a guest down, in per cent.
_FIRST_THROTTLE = 20
_MIB = 1 << 20
#: What QEMU takes as a limit, in milliseconds.
_MOST_DOWNTIME = 2_000_000
#: Seconds since 1970, after which no clock goes; and no whole number is too large for a float.
_LATEST = 1 << 40


class Progress(NamedTuple):
    """How much of a guest's memory was sent, in bytes; more than its total if some of it again."""

    transferred: int
    total: int

    @property
    def rounds(self) -> float:
        """How often all of it could have been sent; 0 where QEMU does not tell its size."""
        return self.transferred / self.total if self.total else 0.0


class Noted(TypedDict):
    """The limit of a downtime: milliseconds, and when it was raised: seconds since 1970."""

    downtime: int
    last_step: float


class Rise(NamedTuple):
    """How the limit of the downtime rises.

    Attributes:
        most: milliseconds.
        tenths: of the limit that each step adds to it, one millisecond at least.
        seconds: from one step to the next.
    """

    most: int
    tenths: int
    seconds: float


#: Upstream's pace, and that of the setting: from 30 ms to 2 s in less than a minute.
_OF_PARAMETER = Rise(most=0, tenths=1, seconds=30.0)
_OF_SETTING = Rise(most=0, tenths=5, seconds=5.0)


def rise(hvparams: HvParams) -> Rise | None:
    """Tell how far and how fast the limit of the downtime may rise; None: it stays."""
    most = number_or_zero(hvparams, _CEILING) if _CEILING else 0
    pace = _OF_PARAMETER if most else _OF_SETTING
    most = most or settings.MIGRATION_DOWNTIME_MAX.value()
    return (
        pace._replace(most=most)
        if most > number(hvparams, constants.HV_MIGRATION_DOWNTIME)
        else None
    )


def _at_the_start(hvparams: HvParams) -> Noted:
    return {"downtime": number(hvparams, constants.HV_MIGRATION_DOWNTIME), "last_step": 0}


def begin(files: InstanceFiles, hvparams: HvParams) -> None:
    """Note the limit that a migration begins with, in place of what an earlier one left.

    Raises:
        errors.HypervisorError: the file cannot be written.
    """
    if rise(hvparams):
        write(files, _at_the_start(hvparams))
    else:
        forget(files)


def forget(files: InstanceFiles) -> None:
    """Remove what was noted of a migration; the next one replaces what is left."""
    try:
        utils.RemoveFile(files.migration_state)
    except OSError as err:
        logging.warning("%s cannot be removed: %s", files.migration_state, err)


def write(files: InstanceFiles, state: Mapping[str, object] | Noted) -> None:
    """Note {"downtime": milliseconds, "last_step": seconds since 1970}.

    Raises:
        errors.HypervisorError: the file cannot be written.
    """
    try:
        utils.WriteFile(files.migration_state, data=json.dumps(state))
    except OSError as err:
        raise errors.HypervisorError(f"{files.migration_state} cannot be written: {err}") from err


def read(files: InstanceFiles) -> Noted | None:
    """Give what was noted; None, and a warning unless there is no file, where nothing can be read.

    A limit that is not known is the one of the parameters: it is then raised from there anew.
    """
    try:
        state = json.loads(utils.ReadFile(files.migration_state))
        limit, last_step = state["downtime"], state["last_step"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as err:
        logging.warning("%s cannot be read: %s", files.migration_state, err)
        return None
    # true and false are whole numbers to Python
    if type(limit) is int and 0 <= limit <= _MOST_DOWNTIME and _is_time(last_step):
        return {"downtime": limit, "last_step": last_step}
    logging.warning("%s does not hold a limit and a time", files.migration_state)
    return None


def _is_time(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value <= _LATEST  # type: ignore[operator]


def raise_limit(
    files: InstanceFiles,
    instance: objects.Instance,
    limit_downtime: Callable[[int], object],
    progress: Progress,
) -> int | None:
    """Let the guest stand still for longer, if it is time for that.

    What fails is logged: the migration goes on, and the next look tries again.

    Args:
        limit_downtime: tells a QEMU whose migration is "active", milliseconds.

    Returns:
        The new limit in milliseconds; None if it stays as it is.
    """
    pace = rise(instance.hvparams)
    if not pace or progress.rounds <= _TOO_OFTEN or capabilities.has_postcopy(instance):
        return None
    noted = read(files) or _at_the_start(instance.hvparams)
    now, limit = time.time(), noted["downtime"]
    # a clock that was set back must not stop it for good
    if limit >= pace.most or 0 <= now - noted["last_step"] < pace.seconds:
        return None
    raised = min(max(limit + 1, limit * (10 + pace.tenths) // 10), pace.most)
    try:
        limit_downtime(raised)
        write(files, {"downtime": raised, "last_step": now})
    except errors.HypervisorError as err:
        logging.warning("%s may not stand still for longer: %s", files.name, err)
        return None
    logging.info("%s may stand still for %d ms at the end of its migration", files.name, raised)
    return int(raised)


def too_much(instance: objects.Instance, progress: Progress) -> str | None:
    """Say why a migration is to be given up, if it has sent more than is allowed."""
    most = number_or_zero(instance.hvparams, _THRESHOLD) if _THRESHOLD else 0
    most = most or settings.MIGRATION_CANCEL_THRESHOLD.value()
    if not most or progress.rounds * 100 <= most:
        return None
    return (
        f"{progress.rounds:.0%} of the guest's memory were sent, and it was not done"
        f" ({settings.MIGRATION_CANCEL_THRESHOLD.name}={most})"
    )


def too_long(answer: Migration) -> str | None:
    """Say why a migration is to be given up, if it takes longer than is allowed."""
    most = settings.MIGRATION_CANCEL_AFTER.value()
    if not most or answer.seconds <= most:
        return None
    return (
        f"it was not done after {answer.seconds:.0f} s ({settings.MIGRATION_CANCEL_AFTER.name}="
        f"{most:g})"
    )


def pace_of(answer: Migration) -> str:
    """Say how fast the guest is, and the network."""
    return (
        f"{answer.remaining / _MIB:.0f} MiB were left, the guest writes"
        f" {answer.changed / _MIB:.0f} MiB/s, {answer.speed / _MIB:.0f} MiB/s are sent"
    )


def slow_down(name: str, qmp: QmpConnection) -> None:
    """Let QEMU take processor time from the guest while it is faster than the network.

    A refusal is only logged: the migration may end all the same.
    """
    most = settings.MIGRATION_THROTTLE.value()
    if not most:
        return
    steps = {"max-cpu-throttle": most, "cpu-throttle-initial": min(most, _FIRST_THROTTLE)}
    try:
        verbs.migrate_set_parameters(qmp, steps)
        verbs.migrate_set_capabilities(qmp, [_AUTO_CONVERGE], True)
    except errors.HypervisorError as err:
        logging.warning("QEMU of %s does not slow its guest down: %s", name, err)


def stop_slowing_down(name: str, qmp: QmpConnection) -> None:
    """Undo ``slow_down``; a failure is only logged."""
    if settings.MIGRATION_THROTTLE.value():
        try:
            verbs.migrate_set_capabilities(qmp, [_AUTO_CONVERGE], False)
        except errors.HypervisorError as err:
            logging.warning("QEMU of %s may slow its guest down once more: %s", name, err)
