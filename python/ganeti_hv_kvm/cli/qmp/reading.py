"""Which of QEMU's commands only look; every other one changes something, or may.

A list of what looks, not of what changes: a command that is new in QEMU is taken to change.
"""

from __future__ import annotations

from collections.abc import Mapping

#: QMP's, besides all that begin with query- or x-query-.
_QMP = frozenset(
    {
        "device-list-properties",
        "qom-get",
        "qom-list",
        "qom-list-get",
        "qom-list-properties",
        "qom-list-types",
        "trace-event-get-state",
    }
)
#: The human monitor's. `x` and `xp` show the guest's memory, and `i` reads a device's port, which
#: may change it.
_HUMAN = frozenset({"help", "?", "info", "print", "p"})


def only_looks(command: str, arguments: Mapping[str, object]) -> bool:
    """Whether a command of QMP leaves the guest and its QEMU as they are."""
    if command == "human-monitor-command":
        return human_only_looks(str(arguments.get("command-line", "")))
    return command.startswith(("query-", "x-query-")) or command in _QMP


def human_only_looks(line: str) -> bool:
    """Whether a command of the human monitor does."""
    words = line.split()
    return bool(words) and words[0].partition("/")[0] in _HUMAN
