"""Which KVM module Ganeti's running programs have, beside the one that a new one would get.

A program that has ours has the native part mapped (/proc/PID/maps), by its inode: after an
upgrade that is another file than the one that lies there now, or a file that was deleted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ganeti_hv_kvm.cli.doctor.diagnosis import Diagnosis
from ganeti_hv_kvm.cli.frame.finding import Finding, note, trouble, unknown, well
from ganeti_hv_kvm.cli.frame.output import quoted
from ganeti_hv_kvm.cli.frame.table import duration
from ganeti_hv_kvm.cli.interpreter import Answer
from ganeti_hv_kvm.cli.node import process
from ganeti_hv_kvm.cli.node.patience import OutOfPatienceError, within
from ganeti_hv_kvm.cli.node.process import PROC

_ABOUT = "module"
NODE_DAEMON = "ganeti-noded"
#: Ganeti's programs that are Python, run for long, and use the KVM module.
_PROGRAMS = (NODE_DAEMON, "ganeti-rapi", "ganeti-watcher")
_NATIVE = "/ganeti_hv_kvm/_native."
_DELETED = " (deleted)"
_MOST_BYTES = 8 << 20
_FOR_THE_KERNEL = 0.5
_RESTART = "service ganeti restart"
#: Seconds by which the clock of /proc and that of files may differ.
_SLACK = 2.0
_LOG_END = 1 << 20
_ASIDE = "ganeti-hv-kvm cannot be used"


class Mapped(NamedTuple):
    """The native part as a process has it.

    Attributes:
        path: of the file when it was mapped.
        is_deleted: whether that file has gone since.
        inode: its number; the device is left out, as /proc names another one on some file systems.
    """

    path: str
    is_deleted: bool
    inode: int


class Daemon(NamedTuple):
    """A running program of Ganeti's.

    Attributes:
        name: of the program.
        began: seconds since the epoch; None if that cannot be told.
        mapped: None where it has no native part of ours.
        doubt: why that cannot be told.
    """

    pid: int
    name: str
    began: float | None
    mapped: Mapped | None
    doubt: str | None = None


def running(proc: Path = PROC) -> list[Daemon]:
    """Find Ganeti's programs; a forked child of one, for a request, counts with its parent.

    Raises:
        OSError: the processes cannot be listed.
    """
    found = []
    for pid in process.pids(proc):
        name = _program(pid, proc)
        if name is not None and not _is_child(pid, name, proc):
            found.append(_look(pid, name, proc))
    return found


def findings(
    daemons: list[Daemon], answer: Answer | None, why_none: str, log: Path
) -> list[Finding]:
    """Compare what runs with what a new program would get.

    Args:
        daemons: what runs.
        answer: what a new program of Ganeti's gets; None if that cannot be told.
        why_none: why not.
        log: the node daemon's log, where it says that our module stood aside.
    """
    told = []
    if not any(one.name == NODE_DAEMON for one in daemons):
        told.append(
            trouble(
                _ABOUT,
                "no node daemon runs here: Ganeti cannot reach this node",
                "service ganeti start",
            )
        )
    told += of_running(daemons, answer, log)
    if answer is None:
        told.append(
            unknown(
                _ABOUT,
                f"which module a new program of Ganeti's would get: {quoted(why_none)}",
                "ganeti-hv-kvm status",
            )
        )
    else:
        told += _of_new(answer)
    return told


def of_running(daemons: list[Daemon], answer: Answer | None, log: Path) -> list[Finding]:
    """Compare each running program with what a new one would get."""
    return [_finding(one, answer, log) for one in daemons]


def diagnoses(
    daemons: list[Daemon], answer: Answer | None, why_none: str, log: Path
) -> Iterator[Diagnosis]:
    """As `findings`: restarting a daemon is for a person."""
    for one in findings(daemons, answer, why_none, log):
        yield Diagnosis(one)


def _of_new(answer: Answer) -> Iterator[Finding]:
    if answer.module == "replacement":
        yield well(
            _ABOUT,
            f"a new program of Ganeti's gets ganeti-hv-kvm {answer.facts.get('package_version')}:"
            f" {quoted(answer.why)}",
        )
    elif answer.module == "original":
        make = note if answer.why == "not enabled" else trouble
        yield make(
            _ABOUT,
            f"a new program of Ganeti's gets Ganeti's own module: {quoted(answer.why)}",
            "ganeti-hv-kvm enable",
        )
    else:
        yield trouble(
            _ABOUT, f"a new program of Ganeti's fails: {quoted(answer.why)}", "ganeti-hv-kvm status"
        )
    unknown_ones = answer.facts.get("unknown_parameters")
    if unknown_ones:
        yield trouble(
            "parameters",
            "this Ganeti has hypervisor parameters that ganeti-hv-kvm does not know:"
            f" {quoted(', '.join(map(str, unknown_ones)))}; see docs/settings.md for what becomes"
            " of guests that use them",
            "apt install --only-upgrade ganeti-hv-kvm",
        )


def _finding(daemon: Daemon, answer: Answer | None, log: Path) -> Finding:
    who = f"{daemon.name} (process {daemon.pid})"
    if daemon.doubt is not None:
        return unknown(_ABOUT, f"{who}: {quoted(daemon.doubt)}")
    if (why := _why_wrong(daemon, answer, log)) is not None:
        return trouble(_ABOUT, f"{who} {why}", _RESTART)
    if daemon.mapped is None:
        return well(_ABOUT, f"{who} has Ganeti's own module")
    began = "" if daemon.began is None else f", since {duration(time.time() - daemon.began)}"
    return well(_ABOUT, f"{who} has ganeti-hv-kvm as it is installed{began}")


def _why_wrong(daemon: Daemon, answer: Answer | None, log: Path) -> str | None:
    """Why a restart of it would bring another module; None if not, or if that cannot be told."""
    module = None if answer is None else answer.module
    if daemon.mapped is None:
        is_behind = module == "replacement"
        return "still has Ganeti's own module; a new one would get ours" if is_behind else None
    if (line := _stood_aside(daemon, log)) is not None:
        return f"has Ganeti's own module, as its log says: {line}"
    if module == "original":
        return f"still has ganeti-hv-kvm ({daemon.mapped.path}); a new one would get Ganeti's own"
    why = _why_older(daemon.mapped, daemon.began, answer)
    return None if why is None else f"has an older ganeti-hv-kvm: {why}"


def _why_older(mapped: Mapped, began: float | None, answer: Answer | None) -> str | None:
    if mapped.is_deleted:
        return f"{mapped.path} was replaced since it began"
    native = answer.facts.get("native") if answer else None
    if not isinstance(native, str):
        return None
    try:
        now = os.stat(native).st_ino
        changed = os.stat(os.path.join(os.path.dirname(native), "__init__.py")).st_ctime
    except OSError:
        return None
    if os.path.realpath(native) != os.path.realpath(mapped.path) or now != mapped.inode:
        return f"it has {mapped.path}, and a new one would get another {native}"
    if began is not None and changed > began + _SLACK:
        return f"the files beside {native} were installed after it began"
    return None


def _program(pid: int, proc: Path) -> str | None:
    try:
        words = within(_FOR_THE_KERNEL, lambda: process.command_line(pid, proc))[:4]
    except (OSError, OutOfPatienceError):
        return None
    names = [os.path.basename(word) for word in words]
    return next((name for name in names if name in _PROGRAMS), None)


def _is_child(pid: int, name: str, proc: Path) -> bool:
    try:
        with (proc / str(pid) / "stat").open() as stream:
            parent = int(stream.read(4096).rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return False
    return parent > 1 and _program(parent, proc) == name


def _look(pid: int, name: str, proc: Path) -> Daemon:
    began, mapped, doubt = None, None, None
    try:
        seen = within(_FOR_THE_KERNEL, lambda: process.read(pid, proc))
        if seen is not None and seen.age is not None:
            began = time.time() - seen.age
        mapped = within(_FOR_THE_KERNEL, lambda: mapped_native(pid, proc))
    except (OSError, OutOfPatienceError) as err:
        doubt = f"what it has mapped cannot be read: {err}"
    return Daemon(pid, name, began, mapped, doubt)


def mapped_native(pid: int, proc: Path = PROC) -> Mapped | None:
    """Give our native part as a process has it mapped; None if it has none.

    Raises:
        OSError: that cannot be read.
    """
    with (proc / str(pid) / "maps").open("rb") as stream:
        text = stream.read(_MOST_BYTES).decode("utf-8", "replace")
    for line in text.splitlines():
        if _NATIVE not in line:
            continue
        fields = line.split(None, 5)
        path = fields[5]
        is_deleted = path.endswith(_DELETED)
        return Mapped(path.removesuffix(_DELETED), is_deleted, _inode(pid, fields, proc))
    return None


def _inode(pid: int, fields: list[str], proc: Path) -> int:
    """What stat(2) says of the mapped file; what maps says is another number on overlayfs."""
    try:
        return os.stat(proc / str(pid) / "map_files" / fields[0]).st_ino
    except OSError:
        return int(fields[4])


def _stood_aside(daemon: Daemon, log: Path) -> str | None:
    """What the process wrote into its log when it could not use our module."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - _LOG_END))
            lines = stream.read(_LOG_END).decode("utf-8", "replace").splitlines()
    except OSError:
        return None
    mark = f"pid={daemon.pid} "
    told = [line for line in lines if mark in line and _ASIDE in line]
    return quoted(told[-1].rpartition(_ASIDE)[2].strip(" ,:"))[:300] if told else None
