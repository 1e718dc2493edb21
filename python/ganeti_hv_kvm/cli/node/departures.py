"""Where the records are of guests that left this node by migration."""

from __future__ import annotations

from pathlib import Path

#: As `hv_kvm.migration.departure` has it; that can be imported with Ganeti alone.
NAME = "kvm-departed"


def directory(data: Path) -> Path:
    """Give the directory, one file in it for each guest, by what Ganeti keeps over a reboot."""
    return data / NAME


def is_missing(record: Path) -> bool:
    """Tell whether a record that cannot be found may be on a file system that is not mounted."""
    return record.parent.is_symlink() and not record.parent.exists()
