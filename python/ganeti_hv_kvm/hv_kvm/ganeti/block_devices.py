"""A disk as Ganeti hands it to a hypervisor, and as runtimes keep it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from ganeti import objects

#: The ``objects.Disk``, the path of its device on this node, and its URI where it has one.
BlockDevice: TypeAlias = "tuple[objects.Disk, str, str | None]"
