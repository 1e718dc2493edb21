"""``ganeti-hv-kvm showcmd``: the command lines of a guest: running, stored, and as of today."""

from __future__ import annotations

import argparse
from shlex import quote
from typing import NamedTuple

from ganeti_hv_kvm.cli import ganeti_child
from ganeti_hv_kvm.cli.frame import arguments, exit_status, output
from ganeti_hv_kvm.cli.frame.failure import CommandError
from ganeti_hv_kvm.cli.node import guests, look, masking, process, runtime_file
from ganeti_hv_kvm.cli.node.guests import LocalGuest
from ganeti_hv_kvm.cli.node.patience import OutOfPatienceError, within

DESCRIPTION = (
    "Shows QEMU's command line as the process has it (running), as the runtime file keeps it"
    " without what belongs to one start alone (stored), as a reboot would make it now (reboot), and"
    " as a cold start would (start; on a node that has the cluster's configuration). The last two"
    " ask Ganeti's code in a process of its own. Secrets are shown as ***."
)
_KINDS = ("running", "stored", "reboot", "start")
_SECONDS = 20.0
_FOR_THE_KERNEL = 1.0


class Shown(NamedTuple):
    """One command line.

    Attributes:
        kind: of ``_KINDS``.
        source: where it is from.
        command: None where it cannot be had.
        why_not: why not.
    """

    kind: str
    source: str
    command: list[str] | None
    why_not: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    arguments.mix_options_and_words(parser)
    arguments.add_name(parser)
    parser.add_argument(
        "kinds", nargs="*", metavar="KIND", help=f"{', '.join(_KINDS)} (default: all)"
    )
    arguments.add_ganeti(parser)
    arguments.add_timeout(parser, _SECONDS)
    arguments.add_json(parser)
    arguments.add_directories(parser, "run")


def run(options: argparse.Namespace) -> int:
    """Show them."""
    from ganeti_hv_kvm.cli.frame.failure import UsageError
    from ganeti_hv_kvm.cli.frame.suggest import did_you_mean

    for kind in options.kinds:
        if kind not in _KINDS:
            raise UsageError(
                f"no kind '{output.quoted(kind)}'{did_you_mean(kind, _KINDS)}"
                f" (kinds: {', '.join(_KINDS)})"
            )
    guest = guests.find(options.run_dir, options.name)
    shown = collect(guest, options.kinds or _KINDS, options)
    if options.json:
        output.write_json({"name": guest.name, "commands": [one._asdict() for one in shown]})
    else:
        for line in text(shown):
            output.write(line)
    if all(one.command is None for one in shown):
        return exit_status.FAILED
    return exit_status.WELL


def collect(
    guest: LocalGuest, kinds: list[str] | tuple[str, ...], options: argparse.Namespace
) -> list[Shown]:
    """Get the command lines; what cannot be had says why not."""
    found = []
    if "running" in kinds:
        found.append(_running(guest))
    if "stored" in kinds:
        found.append(_stored(guest))
    wanted = [kind for kind in ("reboot", "start") if kind in kinds]
    if wanted:
        found += _todays(guest, wanted, options)
    return [
        one._replace(
            command=None if one.command is None else masking.words(one.command),
            why_not=None if one.why_not is None else masking.text(one.why_not),
        )
        for one in found
    ]


def _running(guest: LocalGuest) -> Shown:
    pid, doubt = look.find(guest)
    if pid is None:
        return Shown("running", "the kernel", None, doubt or "it does not run here")
    source = f"process {pid}"
    try:
        return Shown("running", source, within(_FOR_THE_KERNEL, lambda: process.command_line(pid)))
    except (OSError, OutOfPatienceError) as err:
        return Shown("running", source, None, f"the kernel does not tell: {err}")


def _stored(guest: LocalGuest) -> Shown:
    source = str(guest.runtime)
    try:
        runtime = within(_FOR_THE_KERNEL, lambda: runtime_file.read(guest.runtime))
    except (OSError, ValueError, OutOfPatienceError) as err:
        return Shown("stored", source, None, str(err))
    if runtime is None:
        return Shown("stored", source, None, "there is no such file")
    return Shown("stored", source, runtime.command)


def _todays(guest: LocalGuest, wanted: list[str], options: argparse.Namespace) -> list[Shown]:
    sources = {
        "reboot": "gnt-instance reboot, now: of the runtime file, by the QEMU installed",
        "start": "gnt-instance start, now: of the cluster's configuration",
    }
    try:
        with output.progress("asking Ganeti's code"):
            told = ganeti_child.todays_command(options.ganeti, guest.name, options.timeout)
    except CommandError as err:
        return [Shown(kind, sources[kind], None, str(err)) for kind in wanted]
    return [
        Shown(kind, sources[kind], told[kind].get("command"), told[kind].get("error"))
        for kind in wanted
    ]


def text(shown: list[Shown]) -> list[str]:
    """Give them as lines: a switch with its value on each, ready for a shell."""
    lines: list[str] = []
    for one in shown:
        if lines:
            lines.append("")
        lines.append(f"# {one.kind} ({output.quoted(one.source)})")
        if one.command is None:
            lines.append(f"# not known: {output.quoted(one.why_not or 'nothing tells')}")
        else:
            lines += _lines(one.command)
    return lines


def _lines(command: list[str]) -> list[str]:
    rows: list[list[str]] = []
    for word in command:
        shown = output.quoted(quote(word))
        # the value of the switch before it
        if len(rows) > 1 and not word.startswith("-") and len(rows[-1]) == 1:
            rows[-1].append(shown)
        else:
            rows.append([shown])
    ends = [" \\"] * (len(rows) - 1) + [""]
    return [
        ("  " if number else "") + " ".join(row) + end
        for number, (row, end) in enumerate(zip(rows, ends, strict=True))
    ]
