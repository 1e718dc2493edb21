"""The rows of the matrix: which Debian, Ganeti and QEMU the nodes are made of."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from harness import paths


@dataclass(frozen=True)
class System:
    """A row: where the nodes' files come from."""

    name: str
    title: str
    generation: str  # of Ganeti
    root: Path  # the lowest layer
    packages: Path | None = None  # .deb files to install above it
    note: str = ""  # what a reader of the report must know
    coming: bool = False  # Ganeti has the parameters that are known to come, and one more


DEBIAN_12 = System("debian12", "Debian 12, Ganeti 3.0.2, QEMU 7.2", "3.0", Path("/"))
BACKPORTS = System(
    "backports",
    "Debian 12 with Ganeti 3.1 and QEMU 10 from backports",
    "3.1",
    Path("/"),
    paths.WORK / "cluster/backports",
)
DEBIAN_13 = System("debian13", "Debian 13", "3.1", paths.WORK / "cluster/trixie")
UNSTABLE = System(
    "unstable",
    "Debian unstable",
    "3.1",
    paths.WORK / "cluster/sid",
    note="pyOpenSSL 25.0.0 from PyPI beside Debian's: with that, Ganeti itself makes no cluster.",
)
ALL = {one.name: one for one in (DEBIAN_12, BACKPORTS, DEBIAN_13, UNSTABLE)}
#: For tests/cluster/test_next.py alone; no row of the matrix.
NEXT = replace(BACKPORTS, name="next", title=f"{BACKPORTS.title}, and what is coming", coming=True)


def chosen() -> System:
    """The row that CLUSTER_ROW names."""
    return {**ALL, NEXT.name: NEXT}[os.environ.get("CLUSTER_ROW", DEBIAN_12.name)]
