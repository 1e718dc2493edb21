"""A prompt for one guest's monitor, with history and completion; the monitor is free in between."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from ganeti_hv_kvm.cli.frame import exit_status, output
from ganeti_hv_kvm.cli.frame.failure import CommandError
from ganeti_hv_kvm.cli.qmp.schema import Schema, UnfitError

_MOST_LINES = 1000
_END = frozenset({"exit", "quit", "q"})


def run(
    name: str,
    carry_out: Callable[[str], None],
    history: Path | None,
    schema: Schema | None,
    *,
    keeps: Callable[[str], bool],
) -> int:
    """Read lines until the end of the input, and carry each out; give the exit status.

    Args:
        name: for the prompt.
        carry_out: carries one line out; raises `CommandError`.
        history: the file with the lines of earlier shells; None for none.
        schema: for completion; None for the human monitor.
        keeps: whether a line may go into that file: it holds no secret.
    """
    import sys

    is_terminal = sys.stdin.isatty()
    if is_terminal:
        _set_up(history, schema)
    status = exit_status.WELL
    prompt = f"{name}> " if is_terminal else ""
    while True:
        try:
            line = input(prompt).strip()
        except EOFError:
            break
        except KeyboardInterrupt:
            output.write()
            continue
        if line in _END:
            break
        if not line or line.startswith("#"):
            continue
        if is_terminal:
            _remember(line, keeps)
        try:
            carry_out(line)
        except CommandError as err:
            output.complain(str(err))
            status = max(status, exit_status.WRONG)
        except KeyboardInterrupt:
            output.complain("interrupted: whether QEMU carried it out cannot be told")
            status = max(status, exit_status.WRONG)
    if is_terminal:
        output.write()
        _save(history)
    return status


def _set_up(history: Path | None, schema: Schema | None) -> None:
    import readline

    readline.set_auto_history(False)
    readline.set_history_length(_MOST_LINES)
    if history is not None:
        with contextlib.suppress(OSError):  # there is none yet
            readline.read_history_file(history)
    if schema is not None:
        readline.set_completer(Completer(schema).complete)
        readline.set_completer_delims(" ")
        readline.parse_and_bind("tab: complete")


def _remember(line: str, keeps: Callable[[str], bool]) -> None:
    import readline

    if keeps(line):
        readline.add_history(line)


def _save(history: Path | None) -> None:
    import readline

    if history is None:
        return
    try:
        # before there is anything in it: it is for its owner alone
        os.close(os.open(history, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        readline.write_history_file(history)
        history.chmod(0o600)
    except OSError as err:
        output.complain(f"the history is not kept: {err}")


class Completer:
    """What a line may go on with: commands, then ``argument=``, then the values of it."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._found: list[str] = []

    def complete(self, text: str, state: int) -> str | None:
        """Part of readline's protocol: the candidate of that number, or None."""
        import readline

        if state == 0:
            self._found = self.candidates(readline.get_line_buffer()[: readline.get_begidx()], text)
        return self._found[state] if state < len(self._found) else None

    def candidates(self, before: str, text: str) -> list[str]:
        """Give what may stand in place of ``text``, behind what was typed before it."""
        words = before.split()
        if not words:
            return [f"{name} " for name in self._schema.commands() if name.startswith(text)]
        given = dict(word.partition("=")[::2] for word in words[1:] if "=" in word)
        members = {one.name: one for one in self._schema.arguments(words[0], given)}
        key, equals, start = text.partition("=")
        if equals:
            values = self._schema.values(members[key].type) if key in members else []
            return [f"{key}={value} " for value in values if value.startswith(start)]
        return [f"{name}=" for name in members if name.startswith(text) and name not in given]


def read_words(line: str) -> list[str]:
    """Split a line, as `arguments.split` does.

    Raises:
        CommandError: a quote is not closed.
    """
    from ganeti_hv_kvm.cli.qmp import arguments

    try:
        return arguments.split(line)
    except UnfitError as err:
        raise CommandError(str(err)) from err
