"""``ganeti-hv-kvm list``: the guests of this node as their QEMUs tell, those in trouble first."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ganeti_hv_kvm.cli import ganeti_child, tags
from ganeti_hv_kvm.cli.frame import arguments, exit_status, output, table
from ganeti_hv_kvm.cli.frame.failure import CommandError
from ganeti_hv_kvm.cli.frame.table import Field, Row, Table
from ganeti_hv_kvm.cli.node import condition, guests, since
from ganeti_hv_kvm.cli.node.condition import Rank

DESCRIPTION = (
    "Shows the guests of this node as their QEMUs tell, those in trouble first; all are asked at"
    " once. Exit status 1: a guest is in trouble, or a NAME is none."
)
TABLE = Table(
    Field("name", "Name", "the instance"),
    Field("pid", "PID", "its QEMU's process", "number"),
    Field("state", "State", "what the guest does, QEMU's word (query-status)"),
    Field("monitor", "Monitor", "answered, busy, stopped, gone, silent or broken"),
    Field("since", "Since", "how long a look has seen both so, at least", "s"),
    Field("vcpus", "VCPUs", "its CPUs", "number"),
    Field("memory", "Memory", "its memory, as QEMU or the command line tells", "MiB"),
    Field("qemu", "QEMU", "the version that runs"),
    Field("machine", "Machine", "its machine type"),
    Field("reason", "Reason", "why it does not simply run"),
    Field("maximum", "Maximum", "its memory without a balloon", "MiB", is_default=False),
    Field("holder", "Holder", "who holds the monitor if it is busy", is_default=False),
    Field("uptime", "Uptime", "how long its process has run", "s", is_default=False),
    Field("resident", "Resident", "memory of the process on this node", "MiB", is_default=False),
    Field("process", "Process", "the process' state letter, of ps", is_default=False),
    Field("options", "Options", "by tag, and after '->' what is to come", is_default=False),
)
_COLOURS = {Rank.TROUBLE: output.RED, Rank.NOTICE: output.YELLOW}
_TIMEOUT = 3.0
_OPTIONS = "options"


class Listing(NamedTuple):
    """What one look gave."""

    rows: list[Row]
    ranks: Mapping[object, Rank]
    problems: list[str]

    @property
    def status(self) -> int:
        """The exit status."""
        if self.problems and not self.rows:
            return exit_status.FAILED
        if self.problems or Rank.TROUBLE in self.ranks.values():
            return exit_status.WRONG
        return exit_status.WELL


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    arguments.add_names(parser)
    arguments.add_table(parser, TABLE)
    arguments.add_watch(parser)
    arguments.add_timeout(parser, _TIMEOUT)
    arguments.add_json(parser)
    arguments.add_directories(parser, "run")


def run(options: argparse.Namespace) -> int:
    """Look, and write what is seen."""
    fields = TABLE.select(options.output)
    if not options.watch:
        with output.progress(f"asking the guests, {options.timeout:g} s at most"):
            listing = _look(options)
        _write(options, fields, listing)
        return listing.status

    def drawing() -> list[str]:
        return _lines(options, fields, _look(options))

    if options.json:
        return _stream(options, fields)
    from ganeti_hv_kvm.cli.frame import screen  # not for a look that is to be quick

    screen.watch(options.interval, drawing, options.count)
    return exit_status.WELL


def _stream(options: argparse.Namespace, fields: Sequence[Field]) -> int:
    for _ in arguments.rounds(options):
        output.write_json(_values(options, fields, _look(options)), indent=None)
    return exit_status.WELL


def _look(options: argparse.Namespace) -> Listing:
    chosen, problems = guests.choose(guests.find_all(options.run_dir), options.names)
    seen = condition.look(chosen, options.timeout)
    held = since.note(options.run_dir, condition.keys(seen), are_all=not options.names)
    rows = [(one.rank, {**one.values, "since": held.get(one.guest.name)}) for one in seen]
    if options.output and _OPTIONS in options.output:
        rows = _with_options(rows, options.timeout)
    rows.sort(key=lambda pair: (pair[0], str(pair[1]["name"])))
    return Listing([row for _, row in rows], {row["name"]: rank for rank, row in rows}, problems)


def _with_options(
    rows: list[tuple[Rank, dict[str, object]]], seconds: float
) -> list[tuple[Rank, dict[str, object]]]:
    """Ask for the options of the guests that answered; that takes a process with Ganeti."""
    names = [str(row["name"]) for _, row in rows if row["state"]]
    try:
        told = ganeti_child.options(None, names, seconds) if names else {}
    except CommandError as err:  # all else was told
        told = {name: {"error": str(err)} for name in names}
    return [
        (rank, {**row, _OPTIONS: tags.in_short(told[name]) if name in told else None})
        for rank, row in rows
        for name in (str(row["name"]),)
    ]


def _write(options: argparse.Namespace, fields: Sequence[Field], listing: Listing) -> None:
    if options.json:
        output.write_json(_values(options, fields, listing))
        return
    if listing.problems and not listing.rows:
        raise CommandError("; ".join(listing.problems))
    for problem in listing.problems:
        output.complain(problem)
    for line in _table(options, fields, listing):
        output.write(line)


def _values(
    options: argparse.Namespace, fields: Sequence[Field], listing: Listing
) -> dict[str, object]:
    shown = fields if options.output else TABLE.fields
    rows = [{field.name: row.get(field.name) for field in shown} for row in listing.rows]
    return {"guests": rows, "problems": listing.problems}


def _lines(options: argparse.Namespace, fields: Sequence[Field], listing: Listing) -> list[str]:
    return [*_table(options, fields, listing), *listing.problems]


def _table(options: argparse.Namespace, fields: Sequence[Field], listing: Listing) -> list[str]:
    def colour_of(row: Row, field: Field) -> str | None:
        is_about = field.name in ("state", "monitor", "reason")
        return _COLOURS.get(listing.ranks[row["name"]]) if is_about else None

    how = arguments.table_format(options)
    return table.lines(fields, listing.rows, how, colour_of)
