"""The grammar of QEMU's arguments: ``head,key=value,key=value``, commas in values doubled."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from ganeti import netutils

from ganeti_hv_kvm.hv_kvm.kvm_utils import Escape

Part = str | tuple[str, object] | None


def properties(*parts: Part) -> str:
    """Joins the parts of one argument with commas.

    A text stands as it is (a head such as "virtio-balloon", or a flag), a pair becomes
    ``key=value`` with the value's commas doubled, None is left out.
    """
    return ",".join(
        part if isinstance(part, str) else f"{part[0]}={Escape(part[1])}"
        for part in parts
        if part is not None
    )


def parsed(argument: str) -> dict[str, str]:
    """The properties of one argument; a doubled comma is one of a value."""
    words = re.findall(r"(?:[^,]|,,)+", argument)
    parts = (word.replace(",,", ",").partition("=") for word in words)
    return {name: text for name, _, text in parts}


def unix_server(path: str) -> str:
    """A character device that listens on a Unix socket and lets the guest start meanwhile."""
    return f"unix:{Escape(path)},server,nowait"


def in_brackets(address: str) -> str:
    """An address before a colon and a port: without brackets QEMU would end IPv6 at its first."""
    return f"[{address}]" if netutils.IP6Address.IsValid(address) else address


def vcpus_of(command: Sequence[object]) -> int:
    """How many vCPUs Ganeti gave the guest of a stored command; 1 where that does not say so.

    Queues and IOThreads go by it, here and in Ganeti's own module; what QEMU made of all its words
    is for ``vcpus.count``.
    """
    smp = (str(value) for word, value in pairwise(command) if word == "-smp")
    return int(next(smp, "1").partition(",")[0])
