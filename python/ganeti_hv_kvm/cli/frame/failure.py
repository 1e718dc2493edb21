"""Why a command ends without its answer."""

from __future__ import annotations

from ganeti_hv_kvm.cli.frame import exit_status


class CommandError(Exception):
    """A command could not do what it was asked; the text says what, why, and what to do next.

    ``facts`` are for programs (``--json``): values of JSON.
    """

    status = exit_status.FAILED

    def __init__(self, text: str, **facts: object) -> None:
        super().__init__(text)
        self.facts = facts


class UsageError(CommandError):
    """It was called with words that mean nothing; nothing was done."""

    status = exit_status.USAGE
