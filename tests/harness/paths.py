"""Where the set-up steps put things."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
WORK = PROJECT / ".work"
GUEST_PARTS = WORK / "guest"
QEMU = Path("/usr/bin/qemu-system-x86_64")
QEMU_10 = WORK / "qemu-10/qemu-system-x86_64"  # sees modules of its own; see qemu_backport.sh
NIC_SCRIPT = Path("/usr/lib/ganeti/kvm-ifup")

# Each generation's Python code and its own test suite.
GANETI_CODE = {
    "3.0": Path("/usr/share/ganeti/3.0"),
    "3.1": WORK / "ganeti-3.1/usr/share/ganeti/3.1",
}
GANETI_SUITE = {
    "3.0": Path("/usr/share/ganeti/testsuite"),
    "3.1": WORK / "ganeti-3.1/usr/share/ganeti/testsuite",
}
