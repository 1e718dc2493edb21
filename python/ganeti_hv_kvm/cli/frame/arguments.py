"""Options that commands share, each said once."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from ganeti_hv_kvm.cli.frame.parser import Parser
from ganeti_hv_kvm.cli.frame.table import UNITS, Format, Table

Directory = Literal["run", "log", "data"]
#: Where each is on Debian, and what is in it.
_DIRECTORIES: dict[Directory, tuple[Path, str]] = {
    "run": (
        Path("/var/run/ganeti/kvm-hypervisor"),
        "where Ganeti keeps what it knows of running guests",
    ),
    "log": (Path("/var/log/ganeti/kvm"), "where the logs of QEMUs are"),
    "data": (Path("/var/lib/ganeti"), "what Ganeti keeps over a reboot of the node"),
}
#: Beside the directory of QEMUs' logs.
NODE_DAEMON_LOG = "node-daemon.log"

#: Seconds for one guest, and for a Python to import Ganeti on a node that is busy.
FOR_A_GUEST, FOR_GANETI = 5.0, 60.0


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


def add_timeout(
    parser: argparse.ArgumentParser,
    seconds: float = FOR_A_GUEST,
    what: str = "for all guests together",
) -> None:
    """Add ``--timeout``, the seconds after which nothing is waited for any more."""
    parser.add_argument(
        "--timeout",
        type=positive,
        default=seconds,
        metavar="SECONDS",
        help=f"wait no longer than so long {what} (default: %(default)g)",
    )


def add_timeout_of_ganeti(parser: argparse.ArgumentParser) -> None:
    """Add ``--timeout`` for commands that ask nobody but Ganeti's code."""
    add_timeout(parser, FOR_GANETI, "for a Python to import Ganeti")


def add_ganeti(parser: argparse.ArgumentParser) -> None:
    """Add ``--ganeti``."""
    parser.add_argument(
        "--ganeti",
        type=Path,
        metavar="DIR",
        help="the directory of Ganeti's code (default: that of ganeti-noded)",
    )


def default_directory(name: Directory) -> Path:
    """Give where it is on Debian."""
    return _DIRECTORIES[name][0]


def add_directories(parser: argparse.ArgumentParser, *names: Directory) -> None:
    """Add ``--run-dir``, ``--log-dir``, ``--data-dir``, those that are named."""
    for name in names:
        default, what = _DIRECTORIES[name]
        parser.add_argument(
            f"--{name}-dir",
            type=Path,
            default=default,
            metavar="DIR",
            help=f"{what} (default: %(default)s)",
        )


def directories(options: argparse.Namespace, *names: Directory) -> list[str]:
    """Give the words that hand these directories on to another command."""
    return [
        word for name in names for word in (f"--{name}-dir", str(getattr(options, f"{name}_dir")))
    ]


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


#: Seconds: the kernel counts a wait in 32 bits, as milliseconds.
_LONGEST = 1e6


def positive(text: str) -> float:
    """Read seconds: a number above 0, and none that no wait can have."""
    seconds = float(text)
    if not 0 < seconds <= _LONGEST:
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
