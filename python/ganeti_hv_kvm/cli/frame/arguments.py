"""Options that commands share, and a parser that says wrong usage as each command says errors."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from ganeti_hv_kvm.cli.frame.failure import UsageError
from ganeti_hv_kvm.cli.frame.suggest import did_you_mean
from ganeti_hv_kvm.cli.frame.table import UNITS, Format, Table

#: Where Ganeti keeps what it knows of guests that run.
RUN_DIRECTORY = Path("/var/run/ganeti/kvm-hypervisor")
#: Where QEMU's own words go, and what Ganeti keeps.
LOG_DIRECTORY = Path("/var/log/ganeti/kvm")
DATA_DIRECTORY = Path("/var/lib/ganeti")


class _Formatter(argparse.HelpFormatter):
    """Fills a paragraph; a text with line breaks, such as a table, stays as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        is_table = "\n" in text
        return indent + text if is_table else super()._fill_text(text, width, indent)


class Parser(argparse.ArgumentParser):
    """A parser of a command; options are written out, never cut short."""

    def __init__(self, **rest: object) -> None:
        super().__init__(
            allow_abbrev=False,
            formatter_class=_Formatter,
            **rest,  # type: ignore[arg-type]
        )

    _mixes, _is_mixing = False, False

    def mix(self) -> None:
        """Let options stand between the words, also where not all of these need be there."""
        self._mixes = True

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Part of argparse's way from a parser to that of a command."""
        if not self._mixes or self._is_mixing:
            return super().parse_known_args(args, namespace)
        self._is_mixing = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_mixing = False

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError`."""
        raise UsageError(f"{message} (try: {self.prog} --help)")

    def check_all_known(self, extras: Sequence[str]) -> None:
        """Raise `UsageError` for words that the parser could do nothing with."""
        if extras:
            word = extras[0].partition("=")[0]
            hint = did_you_mean(word, self._option_string_actions) if word[0:1] == "-" else ""
            self.error(f"nothing is known of {' '.join(extras)!r}{hint}")


def add_watch(parser: argparse.ArgumentParser, seconds: float = 2.0) -> None:
    """Add ``--watch``, ``--interval`` and ``--count``."""
    parser.add_argument("--watch", action="store_true", help="look again and again; q ends it")
    add_interval(parser, seconds)


def add_interval(parser: argparse.ArgumentParser, seconds: float) -> None:
    """Add ``--interval`` and ``--count``."""
    parser.add_argument(
        "--interval",
        type=positive,
        default=seconds,
        metavar="SECONDS",
        help="between two looks (default: %(default)g)",
    )
    parser.add_argument("--count", type=count, metavar="N", help="end after so many looks")


def rounds(options: argparse.Namespace) -> Iterator[int]:
    """Count the looks, as ``--interval`` and ``--count`` say."""
    number = 0
    while True:
        yield number
        number += 1
        if number == options.count:
            return
        time.sleep(options.interval)


def add_json(parser: argparse.ArgumentParser, *, is_stream: bool = False) -> None:
    """Add ``--json``."""
    what = "one object a line" if is_stream else "one object, errors included"
    parser.add_argument("--json", action="store_true", help=f"for programs: {what}")


def add_timeout(parser: argparse.ArgumentParser, seconds: float) -> None:
    """Add ``--timeout``, the seconds after which nothing is waited for any more."""
    parser.add_argument(
        "--timeout",
        type=positive,
        default=seconds,
        metavar="SECONDS",
        help="wait no longer than so long for all guests together (default: %(default)g)",
    )


def add_run_directory(parser: argparse.ArgumentParser) -> None:
    """Add ``--run-dir``, where guests are looked for."""
    parser.add_argument(
        "--run-dir",
        type=Path,
        default=RUN_DIRECTORY,
        metavar="DIR",
        help="where Ganeti keeps what it knows of running guests (default: %(default)s)",
    )


def add_log_directory(parser: argparse.ArgumentParser) -> None:
    """Add ``--log-dir``, where QEMU's own logs are."""
    parser.add_argument(
        "--log-dir",
        type=Path,
        default=LOG_DIRECTORY,
        metavar="DIR",
        help="where the logs of QEMUs are (default: %(default)s)",
    )


def add_data_directory(parser: argparse.ArgumentParser) -> None:
    """Add ``--data-dir``, what Ganeti keeps over a reboot."""
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=DATA_DIRECTORY,
        metavar="DIR",
        help="what Ganeti keeps over a reboot of the node (default: %(default)s)",
    )


def mix_options_and_words(parser: argparse.ArgumentParser) -> None:
    """Let ``qmp NAME --write cont`` mean the same as ``qmp NAME cont --write``."""
    if isinstance(parser, Parser):
        parser.mix()


def add_names(parser: argparse.ArgumentParser) -> None:
    """Add ``[NAME...]``: guests, by name or shell pattern."""
    action = parser.add_argument(
        "names", nargs="*", metavar="NAME", help="guests, by name or shell pattern (default: all)"
    )
    completes_guests(action)


def add_name(parser: argparse.ArgumentParser) -> None:
    """Add ``NAME``: one guest."""
    completes_guests(parser.add_argument("name", metavar="NAME", help="the guest"))


def completes_guests(action: argparse.Action) -> None:
    """Let shells complete names of this node's guests; the package's generator looks at it."""
    action.completes_guests = True  # type: ignore[attr-defined]


def add_table(parser: argparse.ArgumentParser, table: Table) -> None:
    """Add ``-o``, ``--no-headers``, ``--separator``, ``--units``; the fields end the help."""
    parser.add_argument(
        "-o",
        "--output",
        metavar="FIELDS",
        help="fields, with commas between; with '+' in front, beside the usual ones",
    )
    parser.add_argument("--no-headers", action="store_true", help="without the line of titles")
    parser.add_argument("--separator", metavar="TEXT", help="between fields, instead of columns")
    parser.add_argument(
        "--units",
        choices=UNITS,
        help="memory in MiB, GiB or TiB, or as fits (h, the default without --separator)",
    )
    parser.epilog = table.help


def table_format(options: argparse.Namespace) -> Format:
    """Give what `add_table`'s options say, but for the fields."""
    return Format(not options.no_headers, options.separator, options.units)


def positive(text: str) -> float:
    """Read seconds: a number above 0."""
    seconds = float(text)
    if not (seconds > 0 and math.isfinite(seconds)):
        raise ValueError(text)
    return seconds


def count(text: str) -> int:
    """Read a whole number above 0."""
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


# What argparse calls them where a value is wrong.
positive.__name__ = "number of seconds"
count.__name__ = "whole number"
