"""``ganeti-hv-kvm forget-departure``: the operator says that a guest, which left, runs nowhere.

The record is `hv_kvm.migration.departure`'s. It is found without the node daemon, and without
Ganeti where that cannot be imported.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ganeti_hv_kvm.cli import ganeti_child
from ganeti_hv_kvm.cli.frame import arguments, exit_status, output
from ganeti_hv_kvm.cli.frame.failure import CommandError
from ganeti_hv_kvm.cli.node import departures

DESCRIPTION = (
    "For a guest that left this node by migration without Ganeti hearing of it,"
    " and that you have seen to run on no node: from now on Ganeti may start it here."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    arguments.add_ganeti(parser)
    arguments.add_timeout_of_ganeti(parser)
    parser.add_argument("instance", metavar="INSTANCE", help="its full name")
    arguments.add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Forget it."""
    name: str = options.instance
    if "/" in name or name in ("", ".", ".."):
        raise CommandError(f"'{name}' is not the name of an instance")
    directory, note = _data_directory(options.ganeti, options.timeout)
    record = departures.directory(directory) / name
    is_removed = True
    try:
        record.unlink()
    except FileNotFoundError as err:
        if departures.is_missing(record):
            raise CommandError(
                f"whether {name} has left this node cannot be told: {record.parent} is a link, and"
                " where it points there is nothing. Mount what belongs there, and try again"
            ) from err
        is_removed = False
    except OSError as err:
        raise CommandError(f"{record} is still there: {err.strerror}") from err
    if options.json:
        output.write_json({"record": str(record), "removed": is_removed, "note": note})
        return exit_status.WELL
    if note:
        output.write(note)
    if is_removed:
        output.write(f"Removed {record}. {name} can be started on this node.")
    else:
        output.write(f"Nothing is remembered of {name}: there is no {record}.")
    return exit_status.WELL


def _data_directory(ganeti: Path | None, seconds: float) -> tuple[Path, str | None]:
    """Give the directory, and what is to be said of how it was found."""
    try:
        return ganeti_child.data_directory(ganeti, seconds), None
    except CommandError as err:
        default = arguments.default_directory("data")
        return default, f"Ganeti cannot be asked ({err}): its data is taken to be in {default}."
