"""A parser that says wrong usage as each command says errors."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from ganeti_hv_kvm.cli.frame.failure import UsageError
from ganeti_hv_kvm.cli.frame.suggest import did_you_mean


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
            if word in self._option_string_actions:
                hint = f": it goes behind {self.prog!r}"
            self.error(f"nothing is known of {' '.join(extras)!r}{hint}")
