"""The grammar of QEMU's arguments: ``head,key=value,key=value``, commas in values doubled."""

from __future__ import annotations

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


def unix_server(path: str) -> str:
    """A character device that listens on a Unix socket and lets the guest start meanwhile."""
    return f"unix:{Escape(path)},server,nowait"
