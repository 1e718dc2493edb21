"""Tables as ``gnt-*`` has them."""

from __future__ import annotations

import pytest
from ganeti import utils

from ganeti_hv_kvm.cli.frame import output, table
from ganeti_hv_kvm.cli.frame.failure import UsageError
from ganeti_hv_kvm.cli.frame.table import Field, Format, Table

GUESTS = Table(
    Field("name", "Name", "its name"),
    Field("memory", "Memory", "its memory", "MiB"),
    Field("since", "Since", "how long", "s"),
    Field("disks", "Disks", "its disks", is_default=False),
)
ROWS = [
    {"name": "web", "memory": 512, "since": 3.21, "disks": ["a", "b"]},
    {"name": "a-long-name", "memory": 1536, "since": None, "disks": []},
]


def names(text):
    return [field.name for field in GUESTS.select(text)]


def test_fields():
    assert names(None) == ["name", "memory", "since"]
    assert names("disks,name") == ["disks", "name"]
    assert names("+disks") == ["name", "memory", "since", "disks"]
    with pytest.raises(UsageError, match=r"no field 'nam'; did you mean 'name'\? \(fields: name, "):
        GUESTS.select("+nam")
    with pytest.raises(UsageError, match="no field ''"):
        GUESTS.select("name,")


def test_columns():
    assert table.lines(GUESTS.select("name,memory,since"), ROWS, Format()) == [
        "Name        Memory Since",
        "web           512M  3.2s",
        "a-long-name   1.5G     -",
    ]
    assert table.lines(GUESTS.select("memory,name"), ROWS, Format(headers=False)) == [
        "512M web",
        "1.5G a-long-name",
    ]


def test_separator_and_lists():
    fields = GUESTS.select("name,memory,disks")
    assert table.lines(fields, ROWS, Format(separator="|")) == [
        "Name|Memory|Disks",
        "web|512|a,b",
        "a-long-name|1536|-",
    ]
    assert table.lines(fields, [], Format(headers=False)) == []


@pytest.mark.parametrize("units", "hmgt")
@pytest.mark.parametrize("value", [0, 1, 1023, 1024, 1536, 1048575, 1048576, 3 * 1048576 + 7])
def test_units_are_ganetis(units, value):
    assert table.mebibytes(value, units) == utils.FormatUnit(value, units)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0s"), (59.9, "59s"), (61, "1m01s"), (7500, "2h05m"), (273600, "3d04h")],
)
def test_durations(seconds, text):
    assert table.duration(seconds) == text


def test_foreign_text_moves_no_cursor():
    rows = [{"name": "a\x1b[2Jb\nc\u202e\udc80"}]
    (line,) = table.lines(GUESTS.select("name"), rows, Format(headers=False))
    assert line == r"a\x1b[2Jb\nc\u202e\udc80"


def test_colour_does_not_move_columns(monkeypatch):
    monkeypatch.setattr(output, "is_coloured", lambda: True)
    fields = GUESTS.select("name,memory")
    plain = table.lines(fields, ROWS, Format())
    red = table.lines(fields, ROWS, Format(), lambda row, _: output.RED if row is ROWS[0] else None)
    assert red[1] == "\x1b[31mweb\x1b[0m           \x1b[31m512M\x1b[0m"
    assert [red[0], red[2]] == [plain[0], plain[2]]
