"""All or nothing: what was done is undone in reverse order when a later step fails."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType

from ganeti import errors


class Undo:
    """Collects how to undo each step; leaving the ``with`` by an exception does it.

    An undo step that fails does not keep the others from being tried, unless it needs them. What
    could not be undone is said in the log and in the error that the caller sees. An error of the
    system, or another one of Ganeti's, becomes an ``errors.HypervisorError``: that is what Ganeti's
    daemons wait for.
    """

    def __init__(self, operation: str) -> None:
        """``operation`` is named in the log, such as "start of instance1"."""
        self._operation = operation
        self._steps: list[tuple[str, Callable[[], object], bool]] = []

    def add(self, what: str, step: Callable[[], object], *, uses_earlier: bool = False) -> None:
        """Remember that ``step`` undoes ``what`` (such as "TAP device tap0").

        Args:
            uses_earlier: for as long as this is there, so must everything be that was done before
                it. A QEMU that cannot be ended keeps its files, or nobody would find it again.
        """
        self._steps.append((what, step, uses_earlier))

    def __enter__(self) -> Undo:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if error is None:
            return
        left = self._roll_back(error)
        if left and isinstance(error, Exception):
            raise errors.HypervisorError(f"{error}; not undone: {'; '.join(left)}") from error
        foreign = isinstance(error, OSError | errors.GenericError)
        if foreign and not isinstance(error, errors.HypervisorError):
            raise errors.HypervisorError(f"{self._operation} failed: {error}") from error

    def _roll_back(self, error: BaseException) -> list[str]:
        logging.info("%s failed (%s): undoing it", self._operation, error)
        left = []
        while self._steps:
            what, step, uses_earlier = self._steps.pop()
            try:
                step()
            except Exception as problem:
                logging.exception("%s: %s could not be undone", self._operation, what)
                left.append(f"{what} ({problem})")
                if uses_earlier:
                    left += [f"{earlier} (in use)" for earlier, _, _ in reversed(self._steps)]
                    self._steps.clear()
        return left
