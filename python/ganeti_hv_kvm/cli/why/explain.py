"""All findings about one guest."""

from __future__ import annotations

from pathlib import Path

from ganeti_hv_kvm.cli.frame.finding import Finding, unknown, well
from ganeti_hv_kvm.cli.frame.output import quoted
from ganeti_hv_kvm.cli.node.inquiry import Inquiry
from ganeti_hv_kvm.cli.why import of_disks, of_migration, of_monitor, of_nics, of_process


def findings(found: Inquiry, departed: Path) -> list[Finding]:
    """Say all that is to be said; ``departed`` holds the records of guests that left this node."""
    told = [
        *of_process.findings(found),
        *of_monitor.findings(found),
        *of_disks.findings(found),
        *of_nics.findings(found),
        *of_migration.findings(found, departed),
    ]
    if found.log_error is not None:
        told.append(unknown("log", f"QEMU's log cannot be read: {quoted(found.log_error)}"))
    elif found.log is None:
        told.append(well("log", "QEMU has written none"))
    return told
