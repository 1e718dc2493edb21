"""Where the records are of guests that left this node by migration."""

from __future__ import annotations

from pathlib import Path

#: As `hv_kvm.migration.departure` has it; that can be imported with Ganeti alone.
NAME = "kvm-departed"


def directory(data: Path) -> Path:
    """Give the directory, one file in it for each guest, by what Ganeti keeps over a reboot."""
    return data / NAME
