"""What somebody may have meant who wrote what there is not."""

from __future__ import annotations

from collections.abc import Iterable

_MOST = 3
#: How like it is, of 1: "lst" is 0.86 like "list".
_LIKENESS = 0.7
_AS_LIKE = 0.1


def did_you_mean(written: str, known: Iterable[str]) -> str:
    """Give "; did you mean 'list'?", or "" where nothing is like it."""
    import difflib  # only for who has made a slip

    names = list(dict.fromkeys(known))
    close = [name for name in names if written and name.startswith(f"{written}.")]
    close += difflib.get_close_matches(written, names, _MOST, _LIKENESS)
    # All guests of a domain are like each other: only what is about as like as the best counts.
    likeness = {name: difflib.SequenceMatcher(a=name, b=written).ratio() for name in close}
    best = max(likeness.values(), default=0)
    close = [name for name in close if likeness[name] > best - _AS_LIKE]
    if not close:
        return ""
    return f"; did you mean {' or '.join(repr(name) for name in dict.fromkeys(close[:_MOST]))}?"
