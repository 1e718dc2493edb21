"""``ganeti-hv-kvm why``: what is wrong with one guest, in words, and what to do next."""

from __future__ import annotations

import argparse
import time

from ganeti_hv_kvm.cli.frame import arguments, finding, output
from ganeti_hv_kvm.cli.frame.table import duration
from ganeti_hv_kvm.cli.node import departures, guests, inquiry, look
from ganeti_hv_kvm.cli.node.inquiry import Inquiry
from ganeti_hv_kvm.cli.node.patience import within
from ganeti_hv_kvm.cli.why import explain

DESCRIPTION = (
    "Tells what is wrong with one guest: its process and what its threads wait for, its monitor and"
    " who holds it, its disks, NICs and migrations, and what its QEMU wrote last. Behind '>' are"
    " the next commands. Nothing is changed. Signs: !! wrong, ?? cannot be told, -- worth knowing,"
    " ok."
)
_LINES = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    arguments.add_name(parser)
    parser.add_argument(
        "--lines",
        type=arguments.count,
        default=_LINES,
        metavar="N",
        help="so many last lines of QEMU's log (default: %(default)s)",
    )
    arguments.add_timeout(parser)
    arguments.add_json(parser)
    arguments.add_directories(parser, "run", "log", "data")


def run(options: argparse.Namespace) -> int:
    """Say it."""
    guest = guests.find(options.run_dir, options.name)
    with output.progress(f"asking {output.quoted(guest.name)}"):
        found = inquiry.inquire(guest, options.log_dir, options.timeout, log_lines=options.lines)
        told = within(
            options.timeout, lambda: explain.findings(found, departures.directory(options.data_dir))
        )
    if options.json:
        output.write_json(as_json(found, told))
    else:
        for line in text(found, told):
            output.write(line)
    return finding.status_of(told)


def as_json(found: Inquiry, told: list[finding.Finding]) -> dict[str, object]:
    """Give the answer for programs."""
    return {
        "name": found.guest.name,
        "pid": found.pid,
        "verdict": found.seen.verdict,
        "findings": [one.as_json() for one in told],
        "threads": [
            {
                "tid": thread.tid,
                "name": thread.name,
                "state": thread.state,
                "kernel": thread.kernel,
                "call": thread.call and thread.call.name,
                "file": thread.call and thread.call.file,
            }
            for thread in (found.process.threads if found.process else ())
        ],
        "log": [] if found.log is None else list(found.log.lines),
    }


def text(found: Inquiry, told: list[finding.Finding]) -> list[str]:
    """Give the answer as lines."""
    lines = [f"{output.quoted(found.guest.name)}: {finding.summary(told)}", ""]
    lines += finding.lines(told)
    if found.process is not None and found.seen.verdict != look.ANSWERED:
        lines += ["", "threads:"]
        lines += [
            f"  {one.tid:>7} {output.quoted(one.name):<16} {output.quoted(one.words)}"
            for one in found.process.threads
        ]
    if found.log is not None and found.log.lines:
        age = duration(max(0.0, time.time() - found.log.written))
        lines += ["", f"the end of QEMU's log, last written {age} ago:"]
        lines += [f"  {line}" for line in found.log.lines]
    return lines
