"""The commands, one module each: ``DESCRIPTION``, ``add_arguments(parser)``, ``run(options)``.

``run`` writes the answer, and gives the exit status; it raises `frame.failure.CommandError`. The
module of a command has its name ("_" for "-"), and is imported when it is wanted.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Protocol, cast

#: In the order of the help.
HELP = {
    "list": "the guests of this node, those in trouble first",
    "top": "what the guests of this node use, again and again",
    "metrics": "the guests of this node for Prometheus",
    "why": "what is wrong with one guest, in words, and what to do next",
    "doctor": "what is wrong with this node; --fix puts right what is safe",
    "qmp": "one command to a guest's monitor, or a prompt for many",
    "showcmd": "a guest's command lines: running, stored, and as of today",
    "diff": "devices of a guest's runtime file beside those of its QEMU",
    "bundle": "all that can be found out about a guest, in one archive",
    "migration": "how far a guest's migration is, and how it would be settled",
    "pause": "let a guest stand still",
    "cont": "let a guest go on",
    "dump": "write a guest's memory to a file",
    "events": "what happens in guests, as it happens",
    "apply": "let a guest that runs have the options of its tags, as far as it can",
    "status": "which KVM module Ganeti would get, and why",
    "enable": "from now on, let Ganeti use ganeti-hv-kvm",
    "disable": "back to Ganeti's own KVM module",
    "forget-departure": "let an instance start here that left this node by migration",
}


class Command(Protocol):
    """What the module of a command has."""

    DESCRIPTION: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""

    def run(self, options: argparse.Namespace) -> int:
        """Carry it out, and give the exit status."""


def module(name: str) -> Command:
    """Import the module of a command."""
    return cast(Command, import_module(f"{__name__}.{name.replace('-', '_')}"))
