"""``ganeti-hv-kvm disable``: back to Ganeti's own module, whatever else does not work here."""

from __future__ import annotations

import argparse
import sys

from ganeti_hv_kvm.cli import enabling, site_hook
from ganeti_hv_kvm.cli.frame import arguments, exit_status, output
from ganeti_hv_kvm.cli.interpreter import AskError, ask, find_runtime

DESCRIPTION = (
    "Lets Ganeti on this node use its own KVM module again, from the restart of its node daemon on."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    arguments.add_ganeti(parser)
    arguments.add_timeout_of_ganeti(parser)
    arguments.add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Disable."""
    removed = site_hook.remove()
    answer, why_none = None, ""
    try:
        answer = ask(find_runtime(options.ganeti), seconds=options.timeout)
    except AskError as err:
        why_none = str(err)
    if options.json:
        told: dict[str, object] = {"ganeti": None, "ganeti_error": why_none}
        if answer is not None:
            told = enabling.values({"ganeti": answer})
        output.write_json({"removed": [str(path) for path in removed], **told})
        return exit_status.WELL
    for path in removed:
        output.write(f"Removed {path}.")
    if not removed:
        output.write(f"Was not enabled for {sys.executable}.")
    if answer is not None:
        enabling.tell_about_ganetis_python(answer)
    else:
        output.write(f"Ganeti was not asked: {why_none}.")
    output.write(enabling.RESTART)
    return exit_status.WELL
