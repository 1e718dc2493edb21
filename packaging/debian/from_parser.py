"""Writes man page and completions of the command from its own parser: VERSION MAN BASH ZSH FISH."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import shtab
from build_manpages.manpage import Manpage

from ganeti_hv_kvm.cli import commands, program
from ganeti_hv_kvm.cli.frame import arguments, exit_status

_NAME = "ganeti-hv-kvm"
#: A function of the completion, in bash and zsh.
_GUESTS = "_ganeti_hv_kvm_guests"
_RUN = arguments.default_directory("run")
#: What is no name of an instance is no word for a shell.
_LIST = f"command ls {_RUN}/pid 2>/dev/null | command grep -x '[A-Za-z0-9._-]*'"
_PREAMBLE = {
    "bash": f'{_GUESTS}() {{ compgen -W "$({_LIST})" -- "$1"; }}',
    "zsh": f"{_GUESTS}() {{ compadd -- $({_LIST}); }}",
}


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (action,) = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    return dict(action.choices)


def _complete_guests(parser: argparse.ArgumentParser) -> None:
    for command in _commands(parser).values():
        for action in command._actions:
            if getattr(action, "completes_guests", False):
                action.complete = {"bash": _GUESTS, "zsh": _GUESTS}  # type: ignore[attr-defined]


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


def fish(parser: argparse.ArgumentParser) -> str:
    """Give completions for fish, which shtab does not make: commands, long options, guests."""
    lines = [f"complete -c {_NAME} -f"]
    for name, command in _commands(parser).items():
        text = _quoted(commands.HELP[name])
        lines.append(f"complete -c {_NAME} -n __fish_use_subcommand -a {name} -d '{text}'")
        formatter = command._get_formatter()
        seen = f"complete -c {_NAME} -n '__fish_seen_subcommand_from {name}'"
        for action in command._actions:
            text = _quoted(formatter._expand_help(action) if action.help else "")
            lines += [
                f"{seen} -l {option[2:]} -d '{text}'" + (" -r" if action.nargs != 0 else "")
                for option in action.option_strings
                if option.startswith("--")
            ]
            if getattr(action, "completes_guests", False):
                lines.append(f'{seen} -a "({_LIST})"')
    return "\n".join(lines) + "\n"


def _roff(text: str) -> str:
    text = text.replace("\\", "\\\\").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text


def _rows(title: str, rows: dict[str, str]) -> Iterator[str]:
    yield f".SH {title}"
    for name, meaning in rows.items():
        yield f".TP\n.B {_roff(name)}\n{_roff(meaning)}"


def _man(parser: argparse.ArgumentParser, version: str) -> str:
    parser.man_short_description = program.SHORT_DESCRIPTION  # type: ignore[attr-defined]
    page = Manpage(parser)
    page.manual = _NAME
    page.section = "8"
    page.source = f"{_NAME} {version}"
    # What ends a parser's help is not in a page that is made from it.
    lines = [str(page).rstrip("\n")]
    for name in commands.HELP:
        table = getattr(commands.module(name), "TABLE", None)
        if table is not None:
            fields = {field.name: field.meaning for field in table.fields}
            lines += _rows(f"FIELDS OF {name.upper()}", fields)
    lines += _rows("EXIT STATUS", {str(key): text for key, text in exit_status.MEANINGS.items()})
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the four files."""
    version, man, *completions = sys.argv[1:]
    parser = program.parser_of_all()
    Path(man).write_text(_man(parser, version))
    _complete_guests(parser)
    texts = [shtab.complete(parser, shell=shell, preamble=_PREAMBLE) for shell in ("bash", "zsh")]
    for path, text in zip(completions, [*texts, fish(parser)], strict=True):
        Path(path).write_text(text)


if __name__ == "__main__":
    main()
