"""From the words of the command line to one command, and from its end to an exit status.

Only the module of the command that was named is imported: a node in trouble is slow enough.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ganeti_hv_kvm.cli import commands
from ganeti_hv_kvm.cli.frame import exit_status, output
from ganeti_hv_kvm.cli.frame.failure import CommandError, UsageError
from ganeti_hv_kvm.cli.frame.parser import Parser
from ganeti_hv_kvm.cli.frame.suggest import did_you_mean
from ganeti_hv_kvm.errors import HypervisorError

#: For the first line of the man page.
SHORT_DESCRIPTION = "looks after the KVM guests of a Ganeti node"
_DESCRIPTION = (
    "Looks after the KVM guests of this node, and lets Ganeti use ganeti-hv-kvm in place of its own"
    " KVM module. It needs neither the node daemon nor the cluster."
)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_rest: object) -> None:
        import ganeti_hv_kvm

        output.write(f"{output.PROGRAM} {ganeti_hv_kvm.__version__}")
        parser.exit()


def parser_of_all() -> argparse.ArgumentParser:
    """Give the parser with every command's arguments, for what is made from it."""
    return _parser(*commands.HELP)[0]


def _parser(*whole: str) -> tuple[Parser, dict[str, Parser]]:
    """Give the parser, and those of the commands named; of the others it knows the help alone."""
    parser = Parser(prog=output.PROGRAM, description=_DESCRIPTION, epilog=_statuses())
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="say which version this is, and exit"
    )
    choices = parser.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", parser_class=Parser
    )
    parsers = {}
    for name, text in commands.HELP.items():
        one = choices.add_parser(name, help=text)
        if name in whole:
            module = commands.module(name)
            one.description = module.DESCRIPTION
            module.add_arguments(one)
            one.set_defaults(run=module.run)
            parsers[name] = one
    return parser, parsers


def _statuses() -> str:
    rows = (f"  {number:<4} {text}" for number, text in exit_status.MEANINGS.items())
    return "exit status:\n" + "\n".join(rows)


def _named(words: Sequence[str]) -> str | None:
    return next((word for word in words if not word.startswith("-")), None)


def _options(words: Sequence[str]) -> argparse.Namespace:
    """Raises `UsageError`."""
    named = _named(words)
    if named is not None and named not in commands.HELP:
        hint = did_you_mean(named, commands.HELP)
        raise UsageError(
            f"no command '{output.quoted(named)}'{hint} (try: {output.PROGRAM} --help)"
        )
    parser, parsers = _parser(*([] if named is None else [named]))
    options, extras = parser.parse_known_args(words)
    if options.command is None:
        parser.check_all_known(extras)
        parser.error(f"which command? {', '.join(commands.HELP)}")
    parsers[options.command].check_all_known(extras)
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command, and give the exit status."""
    words = sys.argv[1:] if argv is None else argv
    output.prepare_streams()
    status = exit_status.WELL
    try:
        try:
            status = _carry_out(words)
        finally:  # after --help too, which ends with SystemExit
            sys.stdout.flush()
    except BrokenPipeError:
        output.give_up_stdout()
    except OSError as err:
        # half an answer is none, be it that nothing is wrong
        output.give_up_stdout()
        output.complain(f"the answer cannot be written: {err.strerror or err}")
        status = exit_status.FAILED
    return status


def _carry_out(words: Sequence[str]) -> int:
    try:
        options = _options(words)
        return int(options.run(options))
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        return exit_status.INTERRUPTED
    except CommandError as err:
        return _tell(err, words)
    except (HypervisorError, ImportError, OSError) as err:
        return _tell(CommandError(output.quoted(str(err))), words)
    except Exception as err:
        return _unforeseen(err, words)


def _is_stream(words: Sequence[str]) -> bool:
    """Whether --json gives one object a line."""
    return "--watch" in words or _named(words) in ("events", "top")


def _tell(err: CommandError, words: Sequence[str]) -> int:
    if "--json" in words:
        told = {"error": {"text": str(err), "status": err.status, **err.facts}}
        output.write_json(told, indent=None if _is_stream(words) else 2)
    else:
        output.complain(str(err))
    return err.status


def _unforeseen(err: Exception, words: Sequence[str]) -> int:
    """Tell a fault of ours: Python's own exit status, 1, would mean that all was answered."""
    import traceback

    traceback.print_exc()
    text = f"a fault of this command, please report it: {type(err).__name__}: {err}"
    return _tell(CommandError(output.quoted(text)), words)
