"""``ganeti-hv-kvm qmp``: one command to a guest's monitor, or a prompt for many."""

from __future__ import annotations

import argparse
from pathlib import Path

from ganeti_hv_kvm.cli.frame import arguments, exit_status, output
from ganeti_hv_kvm.cli.frame.failure import UsageError
from ganeti_hv_kvm.cli.node import guests, masking
from ganeti_hv_kvm.cli.qmp import shell
from ganeti_hv_kvm.cli.qmp.session import HUMAN, Session

DESCRIPTION = (
    "Gives one QMP command to a guest, or, without a command, reads many from a prompt. What"
    " changes something is sent with --write alone. Arguments are key=value, key.member=value,"
    " key:=JSON, or one JSON object; they are checked against what this QEMU says that it takes."
    " The monitor is held for one command at a time: Ganeti's own calls wait no longer than that."
    " Secrets in what QEMU replies are shown as ***."
)
_HISTORY = ".ganeti-hv-kvm_history"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    arguments.mix_options_and_words(parser)
    arguments.add_name(parser)
    parser.add_argument("qmp", nargs="?", metavar="COMMAND", help="such as query-block")
    parser.add_argument("words", nargs="*", metavar="ARGUMENT", help="key=value, or JSON")
    parser.add_argument(
        "--hmp", action="store_true", help="COMMAND is one of the human monitor, such as info block"
    )
    parser.add_argument("--write", action="store_true", help="send what changes something too")
    arguments.add_timeout(parser)
    arguments.add_json(parser)
    arguments.add_directories(parser, "run")


def run(options: argparse.Namespace) -> int:
    """Give the command, or read them."""
    guest = guests.find(options.run_dir, options.name)
    session = Session(guest, options.timeout, may_write=options.write)
    if options.qmp is None:
        if options.json:
            raise UsageError("which command? --json is for one, not for a prompt")
        return _prompt(session, is_human=options.hmp)
    if options.hmp:
        line = " ".join([options.qmp, *options.words])
        _write_human(session.human(line), options.json)
    else:
        given, told = session.execute(options.qmp, options.words)
        _write(options.qmp, given, told, options.json)
    return exit_status.WELL


def _prompt(session: Session, *, is_human: bool) -> int:
    def carry_out(line: str) -> None:
        if is_human:
            _write_human(session.human(line), False)
            return
        command, *words = shell.read_words(line)
        given, told = session.execute(command, words)
        _write(command, given, told, False)

    schema = None if is_human else session.schema()
    return shell.run(session.name, carry_out, _history(), schema, keeps=_holds_no_secret)


def _history() -> Path | None:
    try:
        return Path.home() / _HISTORY
    except RuntimeError:
        return None


def _holds_no_secret(line: str) -> bool:
    command = line.partition(" ")[0]
    return masking.human(line) == line and not masking.has_secrets(command)


def _write(command: str, given: dict[str, object], told: object, for_programs: bool) -> None:
    if command == HUMAN and isinstance(told, str):
        _write_human(told, for_programs)
        return
    shown = masking.reply(command, given, told)
    output.write_json({"return": shown} if for_programs else shown)


def _write_human(text: str, for_programs: bool) -> None:
    shown = masking.text(text)
    if for_programs:
        output.write_json({"return": shown})
        return
    for line in shown.splitlines():
        output.write(output.quoted(line.expandtabs()))
