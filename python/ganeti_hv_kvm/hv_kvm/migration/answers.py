"""What QEMU answers about a migration, checked before it is believed.

A monitor is a peer: a word that is no word, a number out of all bounds or a text of a mebibyte
must neither decide what becomes of a guest nor reach Ganeti's logs and error texts as it is.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from ganeti import errors

_WORD = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
#: QEMU counts bytes in 64 bits with a sign.
_MOST = (1 << 63) - 1
#: Characters of a foreign text that are repeated; a reason fits into them.
MOST_QUOTED = 500


class Migration(NamedTuple):
    """QEMU's ``query-migrate``.

    Attributes:
        status: QEMU's word ("none" if it never migrated); one that we do not know is kept.
        error: why it failed, fit for one line of a log.
        transferred: bytes that were sent, and
        total: bytes of the guest's memory; both None where they are not told, or are nonsense.
        passes: how often the memory was gone through.
    """

    status: str = "none"
    error: str = ""
    transferred: int | None = None
    total: int | None = None
    passes: int = 0


def read_migration(answer: Any) -> Migration:
    """Read the answer to ``query-migrate``.

    Raises:
        errors.HypervisorError: it has no status that could be one.
    """
    status = _word("query-migrate", _dict("query-migrate", answer).get("status", "none"))
    error = answer.get("error-desc", "")
    ram = answer.get("ram")
    ram = ram if isinstance(ram, dict) else {}
    transferred, total = _count(ram.get("transferred")), _count(ram.get("total"))
    if transferred is None or not total:
        transferred = total = None
    return Migration(
        status=status,
        error=quote(error) if isinstance(error, str) else "",
        transferred=transferred,
        total=total,
        passes=_count(ram.get("dirty-sync-count")) or 0,
    )


def read_run_state(answer: Any) -> str:
    """Read the answer to ``query-status``.

    Raises:
        errors.HypervisorError: it has no status that could be one.
    """
    return _word("query-status", _dict("query-status", answer).get("status"))


def quote(text: str) -> str:
    """Make a foreign text fit for a log: of bounded length, on one line, without control codes."""
    short = text[:MOST_QUOTED]
    safe = "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in short
    )
    return f"{safe}... ({len(text)} characters)" if len(text) > MOST_QUOTED else safe


def _dict(command: str, answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise errors.HypervisorError(
            f"QEMU answers {command} with a {type(answer).__name__}, not with an object"
        )
    return answer


def _word(command: str, value: Any) -> str:
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        said = quote(value) if isinstance(value, str) else f"a {type(value).__name__}"
        raise errors.HypervisorError(f"QEMU answers {command} with a status that is none: '{said}'")
    return value


def _count(value: Any) -> int | None:
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST
    return value if fits else None
