"""Time limits that an operator can change, by the environment of Ganeti's daemons.

docs/settings.md lists them. A slip in one is an error of everything that begins to change a guest
(`check`), before anything is touched. What only looks, and what ends something that was begun
before, goes on with the default, and says so in the log.
"""

from __future__ import annotations

import logging
import math
import os
from typing import NamedTuple

from ganeti import errors

_DAY = 86400.0


class TimeLimit(NamedTuple):
    """A limit in seconds.

    Attributes:
        variable: the environment variable that changes it.
        default: seconds, where it is not set.
        least: the smallest value that makes sense.
        most: the largest one.
    """

    variable: str
    default: float
    least: float = 0.001
    most: float = _DAY

    def _read(self) -> tuple[float, str | None]:
        """Give the limit that holds, and what is wrong with the variable."""
        text = os.environ.get(self.variable)
        if text is None:
            return self.default, None
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if self.least <= seconds <= self.most:
            return seconds, None
        return self.default, (
            f"{self.variable} is {text[:50]!r}, which is no number of seconds from {self.least:g}"
            f" to {self.most:g}"
        )

    def seconds(self) -> float:
        """Give the limit that holds now; instead of a slip the default, and a line in the log."""
        seconds, problem = self._read()
        if problem:
            logging.warning("%s: %g it is", problem, self.default)
        return seconds

    def problem(self) -> str | None:
        """Say what is wrong with the variable; None if it is not set, or right."""
        return self._read()[1]


#: What one call to a guest's QEMU may take.
QMP = TimeLimit("GANETI_HV_KVM_QMP_TIMEOUT", 5.0)

#: What all guests of a listing may take together.
LISTING = TimeLimit("GANETI_HV_KVM_LISTING_TIMEOUT", 2.0)

#: What a living QEMU may take to answer while its guest migrates. Its main loop is busy for many
#: seconds when it sends the end of a large guest, and a failed question aborts a migration.
MIGRATION = TimeLimit("GANETI_HV_KVM_MIGRATION_TIMEOUT", 60.0)

#: What a guest may take to shut down for its reboot, before it is ended; 0 ends it at once.
REBOOT = TimeLimit("GANETI_HV_KVM_REBOOT_TIMEOUT", 60.0, least=0.0)

#: What a guest may take to let go of a disk or a NIC.
UNPLUG = TimeLimit("GANETI_HV_KVM_UNPLUG_TIMEOUT", 30.0)

_ALL = (QMP, LISTING, MIGRATION, REBOOT, UNPLUG)


def check() -> None:
    """Make sure that every limit can be read, before a guest is touched.

    A limit that is not what the operator meant could end a guest that would have obeyed.

    Raises:
        errors.HypervisorError: which variables are wrong.
    """
    problems = [problem for limit in _ALL if (problem := limit.problem())]
    if problems:
        raise errors.HypervisorError(
            f"Nothing was done: {'; '.join(problems)}. Correct it where Ganeti's daemons are"
            " started (Debian: /etc/default/ganeti), and restart ganeti-noded"
        )
