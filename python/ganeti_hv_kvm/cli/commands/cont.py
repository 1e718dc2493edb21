"""``ganeti-hv-kvm cont``: a guest that stands still goes on, unless it may run elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path

from ganeti_hv_kvm.cli.frame import arguments, exit_status, output
from ganeti_hv_kvm.cli.frame.failure import CommandError
from ganeti_hv_kvm.cli.node import departures, guests, monitor
from ganeti_hv_kvm.cli.node.guests import LocalGuest
from ganeti_hv_kvm.migration_decision import NodeState, is_at_rest
from ganeti_hv_kvm.qmp_values import migration, run_state
from ganeti_hv_kvm.qmp_values.run_state import RunState

DESCRIPTION = (
    "Lets a guest go on that is paused, was not let run yet, or was stopped by an error of a disk"
    " (QMP's cont), and wakes one that sleeps. One that migrates, or has left this node, is"
    " refused: it might run twice."
)
_MOVES = ("inmigrate", "finish-migrate", "postmigrate", "colo")
_NEEDS_A_RESET = ("shutdown", "internal-error", "guest-panicked")
_SLEEPS = "suspended"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    arguments.add_name(parser)
    arguments.add_timeout(parser)
    arguments.add_json(parser)
    arguments.add_directories(parser, "run", "data")


def run(options: argparse.Namespace) -> int:
    """Let it go on."""
    guest = guests.find(options.run_dir, options.name)
    name = output.quoted(guest.name)
    with monitor.connected(guest, options.timeout) as qmp:
        moved = migration.read_migration(qmp.execute_qmp("query-migrate"))
        before = run_state.ask(qmp)
        if not before.is_running:
            _check(guest, before, moved, options.data_dir)
            qmp.execute_qmp("system_wakeup" if before.status == _SLEEPS else "cont")
        after = run_state.ask(qmp)
    if options.json:
        output.write_json({"name": guest.name, "before": before.status, "state": after.status})
    elif before.is_running:
        output.write(f"{name} runs already. Nothing was done.")
    elif after.is_running:
        output.write(f"{name} runs again; it was: {run_state.quoted(before.status)}.")
    else:
        output.complain(f"{name} was told to go on, and {after.words}")
    return exit_status.WELL if after.is_running else exit_status.WRONG


def _check(guest: LocalGuest, state: RunState, moved: migration.Migration, data: Path) -> None:
    """Raises `CommandError` where it may run on another node, or cannot go on."""
    name = output.quoted(guest.name)
    if state.status in _NEEDS_A_RESET:
        raise CommandError(
            f"{name} {state.words}, and cannot go on: nothing was done. Reboot it with"
            f" 'gnt-instance reboot --type=hard {name}'",
            name=guest.name,
        )
    seen = NodeState.told(moved, state.status)
    if state.status in _MOVES or not is_at_rest(seen):
        raise CommandError(
            f"{name} {state.words}, its migration is '{moved.status}': it may run on the other"
            f" node, and would run twice. Nothing was done; 'ganeti-hv-kvm migration {name}' tells"
            f" more, and 'gnt-instance migrate --cleanup {name}' settles it",
            name=guest.name,
        )
    record = departures.directory(data) / guest.name
    try:
        record.lstat()
    except OSError as err:
        if isinstance(err, FileNotFoundError) and not departures.is_missing(record):
            return
        raise CommandError(
            f"whether {name} has left this node cannot be told: {record}: {err.strerror}. Nothing"
            " was done; let it be read, and try again",
            name=guest.name,
        ) from err
    raise CommandError(
        f"{name} has left this node by migration, as {record} says: it would run twice. Nothing was"
        f" done; 'gnt-instance migrate --cleanup {name}' settles it. Only if you have seen that it"
        f" runs on no other node, run 'ganeti-hv-kvm forget-departure {name}'",
        name=guest.name,
    )
