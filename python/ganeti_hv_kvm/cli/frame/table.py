"""Tables as ``gnt-*`` prints them: ``-o FIELDS|+FIELDS``, headers, separator, units.

A row is a mapping from names of fields to values of JSON. What is not known is None, printed "-".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from ganeti_hv_kvm.cli.frame import output
from ganeti_hv_kvm.cli.frame.failure import UsageError
from ganeti_hv_kvm.cli.frame.suggest import did_you_mean

Row = Mapping[str, object]

UNITS = ("h", "m", "g", "t")
UNKNOWN = "-"


class Field(NamedTuple):
    """A column.

    Attributes:
        name: as in ``-o``, and the key in rows and JSON.
        title: its header, one word.
        meaning: one line for the help.
        unit: "" for text; "number"; "MiB", printed as ``--units`` says; "B"; "s", a duration.
        is_default: whether it is shown without ``-o``.
    """

    name: str
    title: str
    meaning: str
    unit: str = ""
    is_default: bool = True

    @property
    def is_number(self) -> bool:
        """Tell whether it is aligned to the right."""
        return bool(self.unit)


class Format(NamedTuple):
    """How a table is printed, by the options of that name."""

    headers: bool = True
    separator: str | None = None
    units: str | None = None


class Table:
    """The fields that a command knows."""

    def __init__(self, *fields: Field) -> None:
        self.fields = fields
        self._by_name = {field.name: field for field in fields}

    def select(self, text: str | None) -> list[Field]:
        """Give the fields of ``-o``: names with commas between; "+" in front adds to the usual.

        Raises:
            UsageError: there is no such field.
        """
        usual = [field for field in self.fields if field.is_default]
        if text is None:
            return usual
        wanted = text.removeprefix("+").split(",")
        for name in wanted:
            if name not in self._by_name:
                raise UsageError(
                    f"no field '{output.quoted(name)}'{did_you_mean(name, self._by_name)}"
                    f" (fields: {', '.join(self._by_name)})"
                )
        chosen = [self._by_name[name] for name in wanted]
        return [*usual, *chosen] if text.startswith("+") else chosen

    @property
    def help(self) -> str:
        """Say which fields there are, for the end of a command's help."""
        width = max(len(field.name) for field in self.fields)
        usual = ",".join(field.name for field in self.select(None))
        rows = (f"  {field.name:<{width}}  {field.meaning}" for field in self.fields)
        return "\n".join(["fields:", *rows, f"  (default: {usual})"])


def lines(
    fields: Sequence[Field],
    rows: Iterable[Row],
    how: Format,
    colour_of: Callable[[Row, Field], str | None] | None = None,
) -> list[str]:
    """Give the lines of a table; ``colour_of`` gives a cell's colour, if it has one."""
    units = how.units or ("m" if how.separator is not None else "h")
    kept = list(rows)
    cells = [[cell(row.get(field.name), field, units) for field in fields] for row in kept]
    if how.separator is not None:
        header = [field.title for field in fields]
        return [how.separator.join(one) for one in ([header] if how.headers else []) + cells]
    titles = [[field.title for field in fields]] if how.headers else []
    widths = [max(map(len, column)) for column in zip(*titles, *cells, strict=True)]
    if not widths:
        return []
    text = [_joined(one, fields, widths, [None] * len(fields)) for one in titles]
    for row, one in zip(kept, cells, strict=True):
        colours = [colour_of(row, field) if colour_of else None for field in fields]
        text.append(_joined(one, fields, widths, colours))
    return text


def _joined(
    texts: Sequence[str],
    fields: Sequence[Field],
    widths: Sequence[int],
    colours: Sequence[str | None],
) -> str:
    parts = []
    last = len(fields) - 1
    for number, (text, field, width, colour) in enumerate(
        zip(texts, fields, widths, colours, strict=True)
    ):
        pad = "" if number == last and not field.is_number else " " * (width - len(text))
        shown = output.painted(text, colour) if colour else text
        parts.append(pad + shown if field.is_number else shown + pad)
    return " ".join(parts)


def cell(value: object, field: Field, units: str = "h") -> str:
    """Give a value as people read it."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "Y" if value else "N"
    if isinstance(value, int | float):
        return _number(value, field.unit, units)
    if isinstance(value, list | tuple):
        return ",".join(output.quoted(str(one)) for one in value) or UNKNOWN
    return output.quoted(str(value)) or UNKNOWN


def _number(value: float, unit: str, units: str) -> str:
    if unit == "MiB":
        return mebibytes(value, units)
    if unit == "B":
        return scaled(value) if units == "h" else f"{value:.0f}"
    if unit == "s":
        return duration(value)
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def mebibytes(value: float, units: str = "h") -> str:
    """Give MiB as ``gnt-*`` does: "h" scales and says the unit; m, g, t say the number alone."""
    if units == "m" or (units == "h" and value < 1024):
        return f"{round(value)}{'M' if units == 'h' else ''}"
    if units == "g" or (units == "h" and value < 1024**2):
        return f"{value / 1024:.1f}{'G' if units == 'h' else ''}"
    return f"{value / 1024**2:.1f}{'T' if units == 'h' else ''}"


def scaled(value: float) -> str:
    """Give bytes as people read them: "512", "1.5K", "3.0G"."""
    for suffix in ("", "K", "M", "G", "T"):
        if value < 1024 or suffix == "T":
            break
        value /= 1024
    return f"{value:.1f}{suffix}" if suffix else f"{value:.0f}"


def duration(seconds: float) -> str:
    """Give a time that has passed: "0.3s", "12s", "3m05s", "2h05m", "3d04h"."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"
