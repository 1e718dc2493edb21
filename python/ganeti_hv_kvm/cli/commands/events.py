"""``ganeti-hv-kvm events``: what happens in guests, as it happens, of many at once.

It listens on each guest's second monitor (``ctrl/NAME.kvmd``), so that Ganeti's own calls never
wait for it. A guest has that while its parameter user_shutdown is on; ganeti-kvmd listens there as
well, and QEMU serves one client at a time.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import selectors
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from ganeti_hv_kvm.cli.frame import arguments, exit_status, output
from ganeti_hv_kvm.cli.node import guests
from ganeti_hv_kvm.cli.node.process import holder_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ganeti_hv_kvm import QmpConnection, QmpEvent

DESCRIPTION = (
    "Listens on each guest's second monitor, which it has while its parameter user_shutdown is on."
    " Exit status: 0 well, 1 not every guest could be heard to the end, 3 none could."
)
_SUFFIX = ".kvmd"
#: Seconds for a guest to greet; one that cannot is said to be wrong, and the others are heard.
_GREETING = 2.0
_AT_ONCE = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    arguments.add_names(parser)
    parser.add_argument(
        "--event", metavar="PATTERN", default="*", help="events such as 'BLOCK_*' (default: all)"
    )
    parser.add_argument("--count", type=arguments.count, metavar="N", help="end after so many")
    # another meaning than elsewhere: this command is to wait
    parser.add_argument(
        "--timeout", type=arguments.positive, metavar="SECONDS", help="end after so long"
    )
    arguments.add_json(parser, is_stream=True)
    arguments.add_directories(parser, "run")


def run(options: argparse.Namespace) -> int:
    """Listen, and write what is heard."""
    stream = _Stream(options.run_dir / "ctrl", options.json)
    try:
        stream.connect(options.names)
        left = options.count
        for name, event in stream.listen(options.timeout):
            if not fnmatch.fnmatchcase(event.event_type, options.event.upper()):
                continue
            print(_line(name, event, options.json), flush=True)
            left = None if left is None else left - 1
            if left == 0:
                break
    except KeyboardInterrupt:
        pass
    finally:
        stream.close()
    if not stream.was_heard:
        return exit_status.FAILED
    return exit_status.WRONG if stream.is_wrong else exit_status.WELL


def _line(name: str, event: QmpEvent, for_programs: bool) -> str:
    told = event.datetime
    moment = None if told is None else told.isoformat(timespec="microseconds")
    if for_programs:
        values = {"time": moment, "name": name, "event": event.event_type, "data": event.data}
        return json.dumps(values)
    data = json.dumps(event.data) if event.data else ""
    return (
        f"{moment or '-'} {output.quoted(name)} {output.quoted(event.event_type)} {data}".rstrip()
    )


class _Stream:
    def __init__(self, directory: Path, for_programs: bool) -> None:
        self._directory = directory
        self._for_programs = for_programs
        self._open: dict[str, QmpConnection] = {}
        self.was_heard = False
        self.is_wrong = False

    def connect(self, names: list[str]) -> None:
        """Connect to these guests, or to all; what is wrong with one is said of that one."""
        try:
            found = sorted(path.name for path in self._directory.iterdir())
        except OSError as err:
            self._say(f"{self._directory} cannot be read: {err.strerror}")
            return
        known = [name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX)]
        present, missing = _choose(known, names)
        if not known and not names:
            self._say(
                f"no guest has a second monitor in {self._directory}: none runs here with"
                " user_shutdown on"
            )
        for name in missing:
            self._say(
                f"there is no {output.quoted(name)}{_SUFFIX} in {self._directory}: it does not run"
                f" here, or its user_shutdown is off{guests.hint(name, known)}",
                name,
            )
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            for name, connection in zip(
                present, threads.map(self._connected, present), strict=True
            ):
                if connection is not None:
                    self._open[name] = connection
        self.was_heard = bool(self._open)
        if self._open:
            output.complain(f"listening to {len(self._open)}")

    def _connected(self, name: str) -> QmpConnection | None:
        from ganeti_hv_kvm import QmpConnection, QmpError

        connection = QmpConnection(self._directory / f"{name}{_SUFFIX}", _GREETING)
        try:
            connection.connect(discover=False)
        except QmpError as err:
            self._say(f"{err}{holder_of(err)}", name)
            return None
        return connection

    def listen(self, timeout: float | None) -> Iterator[tuple[str, QmpEvent]]:
        """The events of all, in the order in which they are heard."""
        until = None if timeout is None else time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            for name, connection in self._open.items():
                selector.register(connection.fileno(), selectors.EVENT_READ, name)
            ready = list(self._open)  # what came with the greeting is kept already
            while self._open:
                for name in ready:
                    yield from self._heard(name, selector)
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    return
                if self._open:
                    ready = [key.data for key, _ in selector.select(left)]

    def _heard(self, name: str, selector: selectors.BaseSelector) -> Iterator[tuple[str, QmpEvent]]:
        from ganeti_hv_kvm import QmpError

        connection = self._open[name]
        fd = connection.fileno()
        try:
            for event in connection.events(timeout=0):
                yield name, event
        except QmpError as err:
            selector.unregister(fd)
            del self._open[name]
            self._say(str(err), name)

    def close(self) -> None:
        for connection in self._open.values():
            connection.close()

    def _say(self, text: str, name: str | None = None) -> None:
        self.is_wrong = True
        if self._for_programs:
            output.write_json({"name": name, "error": {"text": text}}, indent=None)
        else:
            output.complain(text if name is None else f"{output.quoted(name)}: {text}")


def _choose(known: list[str], words: list[str]) -> tuple[list[str], list[str]]:
    """Give the names of guests that are meant, and the words that mean none."""
    meant = {word: [name for name in known if guests.means(word, name)] for word in words}
    present = [name for names in meant.values() for name in names] if words else known
    return list(dict.fromkeys(present)), [word for word, names in meant.items() if not names]
