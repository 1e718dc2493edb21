"""``ganeti-hv-kvm apply``: the options of an instance's tags, for the guest as it runs.

It is done by the hypervisor's own code, so Ganeti has to be importable; the node daemon need not
run. docs/options.md says which options there are.
"""

from __future__ import annotations

import argparse

from ganeti_hv_kvm.cli import ganeti_child
from ganeti_hv_kvm.cli.frame import arguments, exit_status, output, table
from ganeti_hv_kvm.cli.frame.failure import CommandError
from ganeti_hv_kvm.cli.frame.table import Field, Table
from ganeti_hv_kvm.cli.ganeti_child import Told
from ganeti_hv_kvm.cli.node import guests
from ganeti_hv_kvm.cli.tags import are_known

DESCRIPTION = (
    "Gives a guest that runs on this node the limits of its disks that its instance's tags"
    " (hv-kvm:NAME:VALUE) ask for, and shows each option: what was asked for, what is in force, and"
    " when a change takes effect. Exit status 1: a tag is wrong."
)
TABLE = Table(
    Field("name", "Option", "its name in the tag"),
    Field("wanted", "Wanted", "its value by tag"),
    Field("in_force", "InForce", "what the guest has"),
    Field("change", "Change", "when what is wanted is in force, if it is not"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    arguments.add_name(parser)
    parser.add_argument("--dry-run", action="store_true", help="change nothing")
    parser.add_argument(
        "--tags",
        metavar="TAGS",
        help="the instance's tags, with commas between (default: those in the cluster's"
        " configuration, which master candidates have)",
    )
    arguments.add_ganeti(parser)
    arguments.add_timeout(parser, arguments.FOR_GANETI, "for Ganeti's code and the guest")
    arguments.add_table(parser, TABLE)
    arguments.add_json(parser)
    arguments.add_directories(parser, "run")


def run(options: argparse.Namespace) -> int:
    """Apply, and show."""
    fields = TABLE.select(options.output)
    found = guests.find(options.run_dir, options.name)
    try:
        told = ganeti_child.options(
            options.ganeti,
            [found.name],
            options.timeout,
            is_dry=options.dry_run,
            tags=options.tags,
        )
    except CommandError as err:
        text = f"{found.name}: its options cannot be told: {err}; see 'ganeti-hv-kvm list'"
        raise CommandError(output.quoted(text), name=found.name) from err
    answer = told[found.name]
    if "error" in answer:
        raise CommandError(output.quoted(_why_not(answer, found.name)), name=found.name)
    rows, problems = answer["rows"], answer["problems"]
    if options.json:
        output.write_json({"instance": found.name, "options": rows, "problems": problems})
        return exit_status.WRONG if problems else exit_status.WELL
    if not rows:
        output.write(f"{output.quoted(found.name)} has no options, and no tags that ask for some.")
    shown = [{**row, "change": row["change"] or None} for row in rows]
    for line in table.lines(fields, shown, arguments.table_format(options)) if rows else ():
        output.write(line)
    for problem in problems:
        output.complain(output.quoted(problem))
    return exit_status.WRONG if problems else exit_status.WELL


def _why_not(answer: Told, name: str) -> str:
    hint = (
        f". Give them with --tags, as 'gnt-instance list -o tags --no-headers {name}' prints them"
        " on the master"
    )
    return str(answer["error"]) + ("" if are_known(answer) else hint)
