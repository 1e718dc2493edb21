"""``ganeti-hv-kvm bundle``: all that can be found out about a guest, in one archive."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from ganeti_hv_kvm.cli import bundle
from ganeti_hv_kvm.cli.frame import arguments, exit_status, output
from ganeti_hv_kvm.cli.frame.failure import CommandError
from ganeti_hv_kvm.cli.node import guests, look

DESCRIPTION = (
    "Writes what why, diff, showcmd, doctor and status say, the runtime file, the end of the logs,"
    " QEMU's answers and the node's state into one archive (tar.gz, for its owner alone), to be"
    " looked at elsewhere. Secrets are masked: look through it all the same before it leaves your"
    " hands. Nothing on the node is changed."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    arguments.add_name(parser)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="a new file (default: NAME-TIME.tar.gz in this directory)",
    )
    arguments.add_ganeti(parser)
    arguments.add_timeout(parser)
    arguments.add_json(parser)
    arguments.add_directories(parser, "run", "log", "data")


def run(options: argparse.Namespace) -> int:
    """Write it."""
    guest = guests.find(options.run_dir, options.name)
    title = f"{guest.name}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    path: Path = options.output or Path(f"{title}.tar.gz")
    pid, doubt = look.find(guest)
    found = []
    for name, argv in _commands(guest.name, options).items():
        with output.progress(name):
            # each of them has a deadline of its own; this is for what none foresees
            found.append(bundle.of_command(name, argv, 6 * options.timeout))
    with output.progress("files and QEMU's answers"):
        found += bundle.parts(guest, 0 if doubt else pid, options.log_dir, options.timeout)
    try:
        bundle.write(path, title, found)
    except FileExistsError:
        raise CommandError(
            f"{path} is there already, and was left as it is (--output names another place)",
            path=str(path),
        ) from None
    except OSError as err:
        raise CommandError(
            f"{path} cannot be written: {err.strerror or err}; nothing is left of it (--output"
            " names another place)",
            path=str(path),
        ) from err
    missing = [one.name for one in found if one.text is None]
    if options.json:
        output.write_json({"path": str(path), "missing": missing})
    else:
        output.write(f"Wrote {path}. Secrets are masked; look through it before you pass it on.")
        if missing:
            output.write(f"Could not be had (see missing.txt): {', '.join(missing)}.")
    return exit_status.WELL


def _commands(name: str, options: argparse.Namespace) -> dict[str, list[str]]:
    """The commands whose words go in, by the name of the file."""
    node = arguments.directories(options, "run", "log", "data")
    logs = arguments.directories(options, "run", "log")
    run = arguments.directories(options, "run")
    ganeti = [] if options.ganeti is None else ["--ganeti", str(options.ganeti)]
    seconds = ["--timeout", f"{options.timeout:g}"]
    longer = ["--timeout", f"{4 * options.timeout:g}"]
    return {
        "why.txt": ["why", name, *node, *seconds],
        "why.json": ["why", name, "--json", *node, *seconds],
        "diff.txt": ["diff", name, *logs, *seconds],
        "showcmd.txt": ["showcmd", name, *run, *ganeti, *longer],
        "doctor.txt": ["doctor", *node, *ganeti, *longer],
        "status.txt": ["status", *ganeti, *longer],
        "list.txt": ["list", *run, *seconds],
    }
