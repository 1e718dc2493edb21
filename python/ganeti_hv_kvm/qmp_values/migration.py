"""What QEMU answers about a migration, checked before it is believed.

A monitor is a peer: a word that is no word, a number out of all bounds or a text of a mebibyte
must neither decide what becomes of a guest nor reach Ganeti's logs and error texts as it is.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ganeti_hv_kvm.errors import HypervisorError

_WORD = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
#: QEMU counts bytes in 64 bits with a sign.
_MOST = (1 << 63) - 1
#: Characters of a foreign text that are repeated; a reason fits into them.
MOST_QUOTED = 500
#: Rates are alike within a tenth: each is the mean of another stretch of time, and in what is sent
#: are headers, too. Of a guest that writes all that is sent anew, either may be the greater one.
_ALIKE = 0.1
_MOST_REASONS = 16


class Migration(NamedTuple):
    """QEMU's ``query-migrate``.

    Attributes:
        status: QEMU's word ("none" if it never migrated); one that we do not know is kept.
        error: why it failed, fit for one line of a log.
        transferred: bytes that were sent, and
        total: bytes of the guest's memory; both None where they are not told, or are nonsense.
        passes: how often the memory was gone through.
        remaining: bytes that are still to be sent.
        changed: bytes a second that the guest writes, as far as they have to be sent again; 0
            until that is known.
        speed: bytes a second that are sent.
        seconds: since it was begun.
        outgoing: it is that of a guest being sent: QEMU counts the guest's memory only then.
    """

    status: str = "none"
    error: str = ""
    transferred: int | None = None
    total: int | None = None
    passes: int = 0
    remaining: int = 0
    changed: int = 0
    speed: int = 0
    seconds: float = 0.0
    outgoing: bool = False


class Progress(NamedTuple):
    """How far a migration is, of ``query-migrate``; None for what is not told.

    Attributes:
        remaining: bytes that were not sent yet, or are to be sent again.
        rate: bytes a second that are sent.
        dirty_rate: bytes a second that the guest writes anew.
        expected_downtime: seconds that the guest will stand still, as QEMU expects.
        seconds: since it began.
        blocked: why QEMU would refuse to migrate it now, each fit for one line.
    """

    remaining: int | None = None
    rate: float | None = None
    dirty_rate: float | None = None
    expected_downtime: float | None = None
    seconds: float | None = None
    blocked: tuple[str, ...] = ()

    @property
    def seconds_left(self) -> float | None:
        """Seconds to its end if all stays so; infinity if the guest writes as fast as is sent."""
        if self.remaining is None or self.rate is None:
            return None
        gain = self.rate - (self.dirty_rate or 0)
        return self.remaining / gain if gain > _ALIKE * self.rate else float("inf")


def read_migration(answer: object) -> Migration:
    """Read the answer to ``query-migrate``.

    Raises:
        HypervisorError: it has no status that could be one.
    """
    told = _dict("query-migrate", answer)
    status = _word("query-migrate", told.get("status", "none"))
    error = told.get("error-desc", "")
    ram = _ram(told)
    transferred, total = _count(ram.get("transferred")), _count(ram.get("total"))
    if transferred is None or not total:
        transferred = total = None
    return Migration(
        status=status,
        error=quote(error) if isinstance(error, str) else "",
        transferred=transferred,
        total=total,
        passes=_count(ram.get("dirty-sync-count")) or 0,
        remaining=_count(ram.get("remaining")) or 0,
        changed=(_count(ram.get("dirty-pages-rate")) or 0) * (_count(ram.get("page-size")) or 0),
        # megabits, which are a million bits
        speed=int(_number(ram.get("mbps")) * 1e6 / 8),
        seconds=(_count(told.get("total-time")) or 0) / 1000,
        outgoing=isinstance(told.get("ram"), dict),
    )


def read_progress(answer: object) -> Progress:
    """Read it out of the answer to ``query-migrate``; what is nonsense in it is left out."""
    told: dict[str, object] = answer if isinstance(answer, dict) else {}
    ram = _ram(told)
    pages, page = _count(ram.get("dirty-pages-rate")), _count(ram.get("page-size"))
    reasons = told.get("blocked-reasons")
    reasons = reasons[:_MOST_REASONS] if isinstance(reasons, list) else []
    milliseconds = _count(told.get("expected-downtime"))
    passed = _count(told.get("total-time"))
    return Progress(
        remaining=_count(ram.get("remaining")),
        rate=_rate(ram.get("mbps")),
        dirty_rate=None if pages is None or page is None else float(pages * page),
        expected_downtime=None if milliseconds is None else milliseconds / 1000,
        seconds=None if passed is None else passed / 1000,
        blocked=tuple(quote(one) for one in reasons if isinstance(one, str)),
    )


def _rate(megabits: object) -> float | None:
    """QEMU counts millions of bits a second."""
    if isinstance(megabits, bool) or not isinstance(megabits, int | float):
        return None
    return megabits * 1e6 / 8 if 0 < megabits < _MOST else None


def _ram(told: dict[str, object]) -> dict[str, object]:
    ram = told.get("ram")
    return ram if isinstance(ram, dict) else {}


def read_run_state(answer: object) -> str:
    """Read the answer to ``query-status``.

    Raises:
        HypervisorError: it has no status that could be one.
    """
    return _word("query-status", _dict("query-status", answer).get("status"))


def quote(text: str) -> str:
    """Make a foreign text fit for a log: of bounded length, on one line, without control codes."""
    short = text[:MOST_QUOTED]
    safe = "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in short
    )
    return f"{safe}... ({len(text)} characters)" if len(text) > MOST_QUOTED else safe


def _dict(command: str, answer: object) -> dict[str, object]:
    if not isinstance(answer, dict):
        raise HypervisorError(
            f"QEMU answers {command} with a {type(answer).__name__}, not with an object"
        )
    return answer


def _word(command: str, value: object) -> str:
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        said = quote(value) if isinstance(value, str) else f"a {type(value).__name__}"
        raise HypervisorError(f"QEMU answers {command} with a status that is none: '{said}'")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 <= value <= _MOST else 0.0


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= _MOST else None
