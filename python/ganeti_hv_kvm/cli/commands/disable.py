"""``ganeti-hv-kvm disable``: back to Ganeti's own module, whatever else does not work here."""

from __future__ import annotations

import argparse
import sys

from ganeti_hv_kvm.cli import enabling, ganeti_child, site_hook, tags
from ganeti_hv_kvm.cli.frame import arguments, exit_status, output
from ganeti_hv_kvm.cli.frame.failure import CommandError
from ganeti_hv_kvm.cli.interpreter import AskError, ask, find_runtime
from ganeti_hv_kvm.cli.node import guests

DESCRIPTION = (
    "Lets Ganeti on this node use its own KVM module again, from the restart of its node daemon on."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    arguments.add_ganeti(parser)
    arguments.add_timeout_of_ganeti(parser)
    arguments.add_json(parser)
    arguments.add_directories(parser, "run")


def run(options: argparse.Namespace) -> int:
    """Disable."""
    removed = site_hook.remove()
    answer, why_none = None, ""
    try:
        answer = ask(find_runtime(options.ganeti), seconds=options.timeout)
    except AskError as err:
        why_none = str(err)
    # a Ganeti that gave no answer is not asked a second time
    left_behind = _options_of_guests(options) if answer is not None else {}
    if options.json:
        told: dict[str, object] = {"ganeti": None, "ganeti_error": why_none}
        if answer is not None:
            told = {**enabling.values({"ganeti": answer}), "options": left_behind}
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
    _tell_what_is_left_behind(left_behind)
    output.write(enabling.RESTART)
    return exit_status.WELL


def _options_of_guests(options: argparse.Namespace) -> dict[str, list[str]]:
    """The options by tag of the guests that run here, in short; of those that have some."""
    names: list[str] = []
    try:
        names = [one.name for one in guests.find_all(options.run_dir) if guests.is_there(one.qmp)]
        told = ganeti_child.options(options.ganeti, names, options.timeout) if names else {}
    except CommandError as err:
        # without a run directory there is no guest
        told = {name: {"error": str(err)} for name in names}
    having = {name: tags.in_short(one) for name, one in told.items()}
    return {name: short for name, short in having.items() if short}


def _tell_what_is_left_behind(options_of_guests: dict[str, list[str]]) -> None:
    if not options_of_guests:
        return
    output.write(
        "Ganeti's own module knows no options by tag, and a guest with UEFI firmware by tag"
        " does not start, reboot or arrive there. Guests that have some:"
    )
    # on a node without the cluster's configuration the same is said of all guests
    alike: dict[str, list[str]] = {}
    for name, having in options_of_guests.items():
        alike.setdefault(", ".join(having), []).append(name)
    for having_text, names in alike.items():
        output.write(f"  {', '.join(names)}: {having_text}")
