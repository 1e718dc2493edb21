"""``ganeti-hv-kvm forget-departure``: the operator says that a guest, which left, runs nowhere.

The record is `hv_kvm.migration.departure`'s. It is found without the node daemon, and without
Ganeti where that cannot be imported.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

from ganeti_hv_kvm.cli.interpreter import AskError, find_runtime

_DEFAULT = Path("/var/lib/ganeti")
#: As `hv_kvm.migration.departure` has it; that can be imported with Ganeti alone.
DIRECTORY = "kvm-departed"


def add_to(commands: Any, where: argparse.ArgumentParser) -> None:
    """Add the command to those of the parser."""
    forget = commands.add_parser(
        "forget-departure",
        parents=[where],
        help="let an instance start here that left this node by migration",
        description="For a guest that left this node by migration without Ganeti hearing of it,"
        " and that you have seen to run on no node: from now on Ganeti may start it here.",
    )
    forget.add_argument("instance", metavar="INSTANCE", help="its full name")
    forget.set_defaults(run=_forget)


def _forget(options: argparse.Namespace) -> int:
    name: str = options.instance
    if "/" in name or name in ("", ".", ".."):
        raise AskError(f"'{name}' is not the name of an instance")
    record = _data_directory(options.ganeti) / DIRECTORY / name
    try:
        record.unlink()
    except FileNotFoundError:
        print(f"Nothing is remembered of {name}: there is no {record}.")
    except OSError as err:
        raise AskError(f"{record} is still there: {err.strerror}") from err
    else:
        print(f"Removed {record}. {name} can be started on this node.")
    return 0


def _data_directory(ganeti: Path | None) -> Path:
    code = find_runtime(ganeti).ganeti_directory
    if code is not None:
        sys.path.insert(0, str(code))
    try:
        return Path(importlib.import_module("ganeti.pathutils").DATA_DIR)
    except Exception as err:
        print(f"Ganeti cannot be asked ({err}): its data is taken to be in {_DEFAULT}.")
        return _DEFAULT
    finally:
        if code is not None:
            sys.path.remove(str(code))
