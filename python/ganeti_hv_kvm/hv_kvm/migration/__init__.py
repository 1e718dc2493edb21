"""Migration of a guest from one node to another, each side for itself.

Ganeti's master asks the source for ``info.make``, the target to ``target.accept``, the source to
``source.migrate``, polls ``status.get``, and lets both finalize; an abort asks the target first.
"""

from . import capabilities, incoming_nics, info, source, status, target

__all__ = [
    "capabilities",
    "incoming_nics",
    "info",
    "source",
    "status",
    "target",
]
