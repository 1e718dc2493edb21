"""Time limits that an operator can change, by the environment of Ganeti's daemons.

docs/settings.md lists them. A value that is no number of seconds is not worth a failed operation:
it is logged, and the default holds.
"""

from __future__ import annotations

import logging
import math
import os
from typing import NamedTuple


class TimeLimit(NamedTuple):
    """A limit in seconds.

    Attributes:
        variable: the environment variable that changes it.
        default: seconds, where it is not set.
        least: the smallest value that makes sense.
    """

    variable: str
    default: float
    least: float = 0.001

    def seconds(self) -> float:
        """Give the limit that holds now."""
        text = os.environ.get(self.variable)
        if text is None:
            return self.default
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if self.least <= seconds < math.inf:
            return seconds
        logging.warning(
            "%s is '%s', which is no number of seconds from %g on: %g it is",
            self.variable,
            text,
            self.least,
            self.default,
        )
        return self.default


#: What all guests of a listing may take together.
LISTING = TimeLimit("GANETI_HV_KVM_LISTING_TIMEOUT", 2.0)

#: What a living QEMU may take to answer while its guest migrates. Its main loop is busy for many
#: seconds when it sends the end of a large guest, and a failed question aborts a migration.
MIGRATION = TimeLimit("GANETI_HV_KVM_MIGRATION_TIMEOUT", 60.0)

#: What a guest may take to shut down for its reboot, before it is ended; 0 ends it at once.
REBOOT = TimeLimit("GANETI_HV_KVM_REBOOT_TIMEOUT", 60.0, least=0.0)

#: What a guest may take to let go of a disk or a NIC.
UNPLUG = TimeLimit("GANETI_HV_KVM_UNPLUG_TIMEOUT", 10.0)
