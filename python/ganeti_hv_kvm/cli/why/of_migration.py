"""Findings about a migration: one under way, one that failed, what was left of an earlier one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from ganeti_hv_kvm.cli.frame.finding import Finding, note, trouble, unknown
from ganeti_hv_kvm.cli.frame.output import quoted
from ganeti_hv_kvm.cli.node.guests import is_there
from ganeti_hv_kvm.cli.node.inquiry import MIGRATION, STATUS, Inquiry

_ABOUT = "migration"
_MOST_BYTES = 1 << 16
_SHOWN = 80
#: Of query-migrate: a migration that is over, or none.
_AT_REST = frozenset({"none", "completed", "cancelled"})
_MOVING = frozenset(
    {
        "setup",
        "cancelling",
        "active",
        "postcopy-device",
        "postcopy-recover-setup",
        "pre-switchover",
        "device",
        "wait-unplug",
    }
)
#: The guest is split over two nodes, or was when the network broke.
_SPLIT = frozenset({"postcopy-active", "postcopy-paused", "postcopy-recover", "colo"})


def findings(found: Inquiry, departed: Path) -> Iterator[Finding]:
    """Say what is to be said of migrations.

    Args:
        found: what was asked.
        departed: the directory with a record of each guest that left this node.
    """
    yield from _now(found)
    name = quote(found.guest.name)
    paused = found.guest.run_directory / "ctrl" / f"{found.guest.name}.migration"
    if is_there(paused) and found.pid is not None:
        yield note(
            _ABOUT,
            "it was paused for a migration, and whether it goes on was never settled; the next"
            " listing of Ganeti's does so",
            f"gnt-instance migrate --cleanup {name}",
        )
    yield from _departure(found, departed / found.guest.name)


def _now(found: Inquiry) -> Iterator[Finding]:
    reply = found.replies.get(MIGRATION)
    if not isinstance(reply, dict):
        return
    name = quote(found.guest.name)
    status = str(reply.get("status", "none"))
    if status == "failed":
        why = quoted(str(reply.get("error-desc") or "QEMU does not say why"))
        yield note(
            _ABOUT,
            f"the last one failed, and the guest stayed: {why}",
            f"gnt-instance migrate --cleanup {name}",
        )
    elif status in _SPLIT:
        yield trouble(
            _ABOUT,
            f"the guest is on two nodes ({quoted(status)}): ending either of its QEMUs loses it",
            f"ganeti-hv-kvm migration {name}",
        )
    elif status in _MOVING:
        yield note(_ABOUT, f"under way ({quoted(status)})", f"ganeti-hv-kvm migration {name}")
    elif status not in _AT_REST:
        yield unknown(
            _ABOUT,
            f"its state is not known here ({quoted(status[:_SHOWN])})",
            f"ganeti-hv-kvm qmp {name} query-migrate",
        )


def _departure(found: Inquiry, record: Path) -> Iterator[Finding]:
    name = quote(found.guest.name)
    try:
        with record.open("rb") as stream:
            known = json.loads(stream.read(_MOST_BYTES))
        target, left = str(known.get("target") or "another node"), known.get("left") is True
    except FileNotFoundError:
        return
    except (OSError, ValueError, AttributeError, RecursionError) as err:
        yield unknown(
            _ABOUT,
            f"{record}, which says whether the guest left this node, cannot be read:"
            f" {quoted(str(err))}; it is not started here as long as that is so",
            f"gnt-instance migrate --cleanup {name}",
            f"ganeti-hv-kvm forget-departure {name}",
        )
        return
    if found.pid is not None and _runs(found):
        yield note(_ABOUT, f"it is being sent to {quoted(target)}, or that was broken off")
    elif left:
        yield trouble(
            _ABOUT,
            f"the guest left this node for {quoted(target)}, and Ganeti may not have heard of it;"
            " it is not started here as long as that is so",
            f"gnt-instance migrate --cleanup {name}",
        )
    else:
        yield trouble(
            _ABOUT,
            f"the guest was being sent to {quoted(target)}, and how that ended is not known here",
            f"gnt-instance migrate --cleanup {name}",
        )


def _runs(found: Inquiry) -> bool:
    reply = found.replies.get(STATUS)
    return isinstance(reply, dict) and reply.get("status") in ("running", "paused")
