"""All that is looked at on a node, under one deadline."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ganeti_hv_kvm.cli import ganeti_child, interpreter
from ganeti_hv_kvm.cli.doctor import cache, daemons, leftovers, options, room, settings, twins
from ganeti_hv_kvm.cli.doctor.daemons import Daemon
from ganeti_hv_kvm.cli.doctor.diagnosis import Diagnosis
from ganeti_hv_kvm.cli.frame.arguments import NODE_DAEMON_LOG
from ganeti_hv_kvm.cli.frame.failure import CommandError
from ganeti_hv_kvm.cli.frame.finding import unknown
from ganeti_hv_kvm.cli.frame.output import quoted
from ganeti_hv_kvm.cli.node import departures, guests, process, runtime_file, taps
from ganeti_hv_kvm.cli.node import look as looking
from ganeti_hv_kvm.cli.node.guests import LocalGuest
from ganeti_hv_kvm.cli.node.look import Look
from ganeti_hv_kvm.cli.node.patience import OutOfPatienceError, within
from ganeti_hv_kvm.cli.node.process import Process
from ganeti_hv_kvm.cli.node.runtime_file import RuntimeFile
from ganeti_hv_kvm.errors import HypervisorError
from ganeti_hv_kvm.migration_decision import NodeState
from ganeti_hv_kvm.qmp_values import migration, run_state

_MIGRATION, _STATUS = "query-migrate", "query-status"
_FOR_THE_KERNEL = 1.0
_FOR_GUESTS = 2.0
_LEAST = 0.5


class Node(NamedTuple):
    """Where to look, and how long.

    Attributes:
        ganeti: the directory of Ganeti's code; None for that of its programs.
        seconds: for everything together.
        youngest: seconds; files that are younger may be those of a start.
    """

    run_directory: Path
    log_directory: Path
    data_directory: Path
    ganeti: Path | None
    seconds: float
    youngest: float = leftovers.YOUNGEST

    @classmethod
    def of(cls, options: argparse.Namespace) -> Node:
        """Take it out of the command's options."""
        return cls(
            options.run_dir, options.log_dir, options.data_dir, options.ganeti, options.timeout
        )


class _Seen(NamedTuple):
    looks: list[Look]
    runtimes: list[RuntimeFile]
    processes: list[Process]

    @property
    def certain(self) -> dict[str, int | None]:
        """The QEMU of each guest of which it can be told; None for none."""
        return {one.guest.name: one.pid for one in self.looks if one.doubt is None}

    @property
    def doubtful(self) -> set[str]:
        """The guests of which it cannot be told."""
        return {one.guest.name for one in self.looks if one.doubt is not None}

    @property
    def states(self) -> dict[str, NodeState]:
        """What is known of each guest that tells its run state, and of its migration."""
        found = {}
        for one in self.looks:
            with contextlib.suppress(HypervisorError):
                told = migration.read_migration(one.values.get(_MIGRATION))
                state = run_state.read(one.values.get(_STATUS)).status
                found[one.guest.name] = NodeState.told(told, state)
        return found


def examine(node: Node) -> list[Diagnosis]:
    """Look at everything; nothing is changed."""
    deadline = time.monotonic() + node.seconds
    told = list(_of_programs(node, deadline))
    try:
        here = guests.find_all(node.run_directory)
    except CommandError as err:
        told.append(Diagnosis(unknown("guests", quoted(str(err)))))
        here = []
    seen = _look(here)
    told += leftovers.diagnoses(seen.looks, node.youngest)
    told += _guarded("TAP", lambda: leftovers.lonely_taps(here, _taps_held()))
    told += _guarded(
        "two QEMUs", lambda: twins.on_this_node(node.run_directory, seen.certain, seen.doubtful)
    )
    told += twins.on_two_nodes(seen.states)
    told += _options(node, sorted(seen.states), deadline)
    told += twins.departed(
        departures.directory(node.data_directory),
        {one.guest.name for one in seen.looks if one.pid or one.doubt},
    )
    told += room.directories([node.run_directory, node.log_directory, node.data_directory])
    told += room.descriptors(seen.processes)
    told += room.tools(
        [one.command[0] for one in seen.runtimes if one.command],
        wants_tun=any(one.nics for one in seen.runtimes),
    )
    told += cache.diagnoses(node.run_directory.parent)
    return told


def _guarded(about: str, look: Callable[[], Iterable[Diagnosis]]) -> list[Diagnosis]:
    try:
        return within(_FOR_GUESTS, lambda: list(look()))
    except (OSError, OutOfPatienceError) as err:
        return [Diagnosis(unknown(about, f"it cannot be told: {quoted(str(err))}"))]


def _of_programs(node: Node, deadline: float) -> Iterator[Diagnosis]:
    """The daemons, what a new one would get, and the settings that hold for the node daemon."""
    try:
        running = within(_FOR_GUESTS, daemons.running)
    except (OSError, OutOfPatienceError) as err:
        yield Diagnosis(unknown("module", f"Ganeti's programs cannot be found: {quoted(str(err))}"))
        running = []
    answer, why_none = None, ""
    try:
        runtime = interpreter.find_runtime(node.ganeti)
        answer = interpreter.ask(runtime, seconds=_left(deadline))
    except CommandError as err:
        why_none = str(err)
    log = node.log_directory.parent / NODE_DAEMON_LOG
    yield from daemons.diagnoses(running, answer, why_none, log)
    if answer is not None and answer.module == "replacement":
        yield from _settings(node, running, deadline)


def _settings(node: Node, running: list[Daemon], deadline: float) -> Iterator[Diagnosis]:
    noded = next((one for one in running if one.name == daemons.NODE_DAEMON), None)
    environment: dict[str, str] = {}
    whose = "for a new program of Ganeti's"
    try:
        if noded is not None:
            environment = within(_FOR_THE_KERNEL, lambda: process.environment(noded.pid))
            whose = f"for process {noded.pid}, {noded.name}"
        told = ganeti_child.settings(node.ganeti, environment, _left(deadline))
    except (OSError, OutOfPatienceError, CommandError) as err:
        yield Diagnosis(unknown("settings", f"which hold cannot be told: {quoted(str(err))}"))
        return
    yield from settings.diagnoses(told, whose)


def _options(node: Node, names: list[str], deadline: float) -> list[Diagnosis]:
    """What guests that answer have by their tags."""
    if not names:
        return []
    try:
        told = ganeti_child.options(node.ganeti, names, _left(deadline))
    except CommandError as err:
        return [Diagnosis(unknown("options", f"they cannot be told: {quoted(str(err))}"))]
    return list(options.diagnoses(told))


def _left(deadline: float) -> float:
    return max(_LEAST, deadline - time.monotonic())


def _look(here: list[LocalGuest]) -> _Seen:
    looks = looking.look(here, {name: name for name in (_MIGRATION, _STATUS)}, _FOR_GUESTS)
    runtimes: list[RuntimeFile] = []
    processes: list[Process] = []
    for one in looks:
        path, pid = one.guest.runtime, one.pid
        # `why` tells of one guest
        with contextlib.suppress(OSError, ValueError, OutOfPatienceError):
            runtime = within(_FOR_THE_KERNEL, lambda path=path: runtime_file.read(path))  # type: ignore[misc]
            runtimes += [] if runtime is None else [runtime]
        with contextlib.suppress(OSError, OutOfPatienceError):
            if pid is not None:
                seen = within(_FOR_THE_KERNEL, lambda pid=pid: process.read(pid))  # type: ignore[misc]
                processes += [] if seen is None else [seen]
    return _Seen(looks, runtimes, processes)


def _taps_held() -> dict[str, list[int]]:
    """By interface, the processes that have it open; OSError where one cannot be read."""
    held: dict[str, list[int]] = {}
    for pid in process.pids():
        try:
            names = taps.held_by(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        for name in names:
            held.setdefault(name, []).append(pid)
    return held
