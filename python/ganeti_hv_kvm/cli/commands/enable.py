"""``ganeti-hv-kvm enable``: from now on, Ganeti on this node uses this package."""

from __future__ import annotations

import argparse
import sys

from ganeti_hv_kvm.cli import enabling, site_hook
from ganeti_hv_kvm.cli.frame import arguments, exit_status, output
from ganeti_hv_kvm.cli.interpreter import Runtime, ask, find_runtime

DESCRIPTION = (
    "Lets Ganeti on this node use ganeti-hv-kvm in place of its own KVM module, from the restart of"
    " its node daemon on. It is tried first; where it would not work, nothing is changed."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    arguments.add_ganeti(parser)
    arguments.add_timeout_of_ganeti(parser)
    arguments.add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Enable."""
    runtime = find_runtime(options.ganeti)
    here = Runtime(sys.executable, runtime.ganeti_directory)
    trial = ask(here, as_if_enabled=True, seconds=options.timeout)
    if trial.module != "replacement":
        raise site_hook.HookError(f"not enabled, it would not work here: {trial.why}")
    path, changed = site_hook.write()
    if options.json:
        told = enabling.values({"ganeti": ask(runtime, seconds=options.timeout)})
        output.write_json({"enabled": str(path), "changed": changed, **told})
        return exit_status.WELL
    output.write(f"Enabled{'' if changed else ' already'}, by {path}.")
    enabling.tell_about_ganetis_python(ask(runtime, seconds=options.timeout))
    output.write(enabling.RESTART)
    return exit_status.WELL
