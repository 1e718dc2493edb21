"""Values of another shape than the code was written for: those of a damaged runtime file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ganeti import errors

#: What Python raises where it meets them.
UNFIT = (
    *(KeyError, IndexError, AttributeError, TypeError, ValueError, RecursionError),
    OverflowError,  # of a number that has no float, or of an endless one that has no int
)


def why(err: BaseException) -> str:
    """Say what is wrong, for a person who does not know Python."""
    if isinstance(err, KeyError):
        return f"it lacks {err}"
    return f"{err} ({type(err).__name__})"


@contextlib.contextmanager
def told_of(file: str) -> Iterator[None]:
    """Let what a file's values cause be a HypervisorError that names the file.

    Args:
        file: where the values come from.
    """
    try:
        yield
    except UNFIT as err:
        raise errors.HypervisorError(
            f"{file} does not describe a guest that can be started: {why(err)}"
        ) from err
