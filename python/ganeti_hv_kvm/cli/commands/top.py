"""``ganeti-hv-kvm top``: what the guests of this node use, again and again."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping, Sequence

from ganeti_hv_kvm.cli.frame import arguments, exit_status, output, screen, table
from ganeti_hv_kvm.cli.frame.table import Field, Row, Table
from ganeti_hv_kvm.cli.node import figures, guests
from ganeti_hv_kvm.cli.node.condition import Rank
from ganeti_hv_kvm.cli.node.figures import Device, Figures

DESCRIPTION = (
    "Shows what the guests of this node use: CPU by /proc, disks by QEMU, networks by their TAP"
    " devices. Keys: c, m, d, n sort by CPU, memory, disks, networks; q ends it. Rates are those"
    " between two looks. Without a terminal each look is written under the one before."
)
TABLE = Table(
    Field("name", "Name", "the instance"),
    Field("state", "State", "what it does, or what is wrong with its monitor"),
    Field("cpu", "CPU%", "of one CPU of this node", "number"),
    Field("vcpus", "VCPUs", "its CPUs", "number"),
    Field("memory", "Memory", "its memory", "MiB"),
    Field("resident", "Resident", "memory of its process on this node", "MiB"),
    Field("read", "Read/s", "bytes that it reads from disks", "B"),
    Field("write", "Write/s", "bytes that it writes to disks", "B"),
    Field("reads", "Reads/s", "requests to read from disks", "number"),
    Field("writes", "Writes/s", "requests to write to disks", "number"),
    Field("receive", "Receive/s", "bytes that its NICs receive", "B"),
    Field("transmit", "Transmit/s", "bytes that its NICs transmit", "B"),
)
#: Keys, and the fields by whose sum they sort.
_KEYS = {
    "c": ("cpu",),
    "m": ("resident",),
    "d": ("read", "write"),
    "n": ("receive", "transmit"),
}
_TIMEOUT = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    arguments.add_names(parser)
    arguments.add_table(parser, TABLE)
    arguments.add_interval(parser, 2.0)
    parser.add_argument("--sort", choices=list(_KEYS), default="c", help="as the key does")
    arguments.add_timeout(parser, _TIMEOUT)
    arguments.add_json(parser, is_stream=True)
    arguments.add_directories(parser, "run")


def run(options: argparse.Namespace) -> int:
    """Look again and again."""
    fields = TABLE.select(options.output)
    top = _Top(options)
    if options.json:
        for _ in arguments.rounds(options):
            output.write_json({"guests": top.look(), "problems": top.problems}, indent=None)
        return exit_status.WELL

    def drawing() -> list[str]:
        rows = top.look()
        how = arguments.table_format(options)
        return [*top.head(len(rows)), *table.lines(fields, rows, how, top.colour_of)]

    screen.watch(options.interval, drawing, options.count, top.press)
    return exit_status.WELL


class _Top:
    """Remembers the look before, for the rates."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._before: dict[str, Figures] = {}
        self._in_trouble: set[object] = set()
        self.problems: list[str] = []
        self._sort: str = options.sort

    def look(self) -> Sequence[Row]:
        """Look, and give the rows in their order."""
        found = guests.find_all(self._options.run_dir)
        chosen, self.problems = guests.choose(found, self._options.names)
        read = figures.read(chosen, self._options.timeout)
        rows = [_row(one, self._before.get(one.condition.guest.name)) for one in read]
        self._before = {one.condition.guest.name: one for one in read}
        self._in_trouble = {
            one.condition.guest.name for one in read if one.condition.rank is Rank.TROUBLE
        }
        rows.sort(key=lambda row: str(row["name"]))
        rows.sort(key=lambda row: _sum(row, _KEYS[self._sort]), reverse=True)
        return rows

    def head(self, count: int) -> list[str]:
        """Give the lines above the table."""
        words = f"{time.strftime('%H:%M:%S')}  guests: {count}, in trouble: {len(self._in_trouble)}"
        load = " ".join(f"{one:.2f}" for one in os.getloadavg())
        keys = ", ".join(f"{key} {fields[0]}" for key, fields in _KEYS.items())
        return [f"{words}, load: {load}  ({keys}, q end)", *self.problems, ""]

    def press(self, key: str) -> None:
        """Sort as a key says."""
        self._sort = key if key in _KEYS else self._sort

    def colour_of(self, row: Row, field: Field) -> str | None:
        """Mark what is in trouble."""
        is_marked = field.name in ("name", "state") and row["name"] in self._in_trouble
        return output.RED if is_marked else None


def _sum(row: Row, fields: Sequence[str]) -> float:
    return sum(value for name in fields if isinstance(value := row[name], int | float))


def _row(now: Figures, before: Figures | None) -> dict[str, object]:
    seen = now.condition
    row: dict[str, object] = dict.fromkeys(field.name for field in TABLE.fields)
    row.update({name: seen.values[name] for name in ("name", "vcpus", "memory", "resident")})
    row["state"] = seen.values["state"] or seen.monitor
    if before is None or before.condition.pid != seen.pid or now.moment <= before.moment:
        return row
    seconds = now.moment - before.moment
    if now.usage and before.usage:
        row["cpu"] = 100 * max(0.0, now.usage.cpu - before.usage.cpu) / seconds
    disk = _rates(now.disks, before.disks, seconds)
    nic = _rates(now.nics, before.nics, seconds)
    row.update(read=disk("read_bytes"), write=disk("write_bytes"))
    row.update(reads=disk("read_requests"), writes=disk("write_requests"))
    row.update(receive=nic("receive_bytes"), transmit=nic("transmit_bytes"))
    return row


def _rates(
    now: Sequence[Device], before: Sequence[Device], seconds: float
) -> Callable[[str], float | None]:
    """Give a function: the rate of a counter, of all devices that were there both times."""
    old: Mapping[str, Device] = {one.name: one for one in before}

    def rate(counter: str) -> float | None:
        grown = [
            one.counters[counter] - old[one.name].counters[counter]
            for one in now
            if one.name in old and counter in one.counters and counter in old[one.name].counters
        ]
        return max(0.0, sum(grown)) / seconds if grown else None

    return rate
