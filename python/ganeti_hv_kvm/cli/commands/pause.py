"""``ganeti-hv-kvm pause``: a guest's CPUs stand still until ``cont``."""

from __future__ import annotations

import argparse

from ganeti_hv_kvm.cli.frame import arguments, exit_status, output
from ganeti_hv_kvm.cli.frame.failure import CommandError
from ganeti_hv_kvm.cli.node import guests, monitor
from ganeti_hv_kvm.qmp_values import run_state

DESCRIPTION = "Pauses a guest (QMP's stop). Ganeti is not told, and goes on saying that it runs."

_NOTE = (
    "Ganeti goes on saying that it runs. It can obey a shutdown or reboot only once it runs again,"
    " and is ended hard after the time-out; a migration takes it along paused. It goes on with:"
    " ganeti-hv-kvm cont {name}"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    arguments.add_name(parser)
    arguments.add_timeout(parser)
    arguments.add_json(parser)
    arguments.add_directories(parser, "run")


def run(options: argparse.Namespace) -> int:
    """Pause it."""
    guest = guests.find(options.run_dir, options.name)
    with monitor.connected(guest, options.timeout) as qmp:
        before = run_state.ask(qmp)
        if before.is_running:
            qmp.execute_qmp("stop")
        after = run_state.ask(qmp)
    name = output.quoted(guest.name)
    if after.is_running:
        raise CommandError(
            f"{name} was paused, and runs again: somebody else let it go on", name=guest.name
        )
    note = _NOTE.format(name=name)
    if options.json:
        values = {"name": guest.name, "before": before.status, "state": after.status, "note": note}
        output.write_json(values)
    elif before.is_running:
        output.write(f"{name} is paused. {note}")
    else:
        output.write(f"{name} did not run: it {before.words}. Nothing was done.")
    return exit_status.WELL
