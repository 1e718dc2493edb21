"""The guest's memory as an object of its own: of huge pages, or of some of the host's NUMA nodes.

A guest notices nothing of either, and QEMU's migration does not, as long as the object has the
name that QEMU itself gives to a pc's memory. So it is chosen anew at each execution, and nothing
of it is stored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

from ganeti import constants

from ganeti_hv_kvm.hv_kvm.ganeti.hvparams import text_or_none

from .option import properties
from .request import Completion

#: QEMU's name for the memory of a pc or q35.
ID = "pc.ram"
#: In the command of a QEMU whose guest has huge pages.
HUGE = "hugetlb=on"


def why_none(hvp: Mapping[str, object]) -> str | None:
    """Say why a guest's memory cannot be chosen by tag; None if it can."""
    if hvp[constants.HV_MEM_PATH]:
        return f"{constants.HV_MEM_PATH} is set, and says where its memory comes from"
    if re.search(
        r"(?:^|\s)-(?:m|mem-path|numa)\b", text_or_none(hvp, constants.HV_KVM_EXTRA) or ""
    ):
        return f"{constants.HV_KVM_EXTRA} says -m, -mem-path or -numa"
    machine = str(hvp[constants.HV_KVM_MACHINE_VERSION] or "pc")
    if not machine.startswith(("pc", "q35")):
        return f"machine {machine} is neither a pc nor a q35"
    return None


def mebibytes(command: Sequence[object]) -> int:
    """How much memory a stored command gives its guest, in MiB."""
    sizes = (re.match(r"[0-9]+", str(value)) for word, value in pairwise(command) if word == "-m")
    found = next(sizes, None)
    return int(found[0]) if found else 0


def objects(completion: Completion, command: Sequence[str]) -> list[str]:
    """The object, and that the machine takes it for its memory."""
    huge, nodes = completion.options.word("hugepages"), completion.options.word("numa")
    size = mebibytes(command)
    if not (huge or nodes) or not size:
        return []
    page = None if huge in (None, "default") else ("hugetlbsize", huge)
    backend = properties(
        f"memory-backend-{'memfd' if huge else 'ram'}",
        ("id", ID),
        ("size", f"{size}M"),
        ("x-use-canonical-path-for-ramblock-id", "off"),
        *((HUGE, page, ("prealloc", "on")) if huge else ()),
        *((("host-nodes", nodes), ("policy", "bind")) if nodes else ()),
    )
    return ["-object", backend, "-machine", properties(("memory-backend", ID))]
