"""``ganeti-hv-kvm dump``: a guest's memory into a file, for crash and gdb."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import NamedTuple

from ganeti_hv_kvm.cli.frame import arguments, exit_status, output
from ganeti_hv_kvm.cli.frame.failure import CommandError
from ganeti_hv_kvm.cli.frame.table import scaled
from ganeti_hv_kvm.cli.node import guests, monitor
from ganeti_hv_kvm.cli.node.guests import LocalGuest
from ganeti_hv_kvm.qmp_values import numbers, run_state

DESCRIPTION = (
    "Writes a guest's memory to a new file (QMP's dump-guest-memory). The guest stands still"
    " meanwhile, and goes on afterwards if it ran. Ganeti is not told, and says that it runs. What"
    " the guest keeps secret is in the file: only root may read it."
)
_FORMATS = ("elf", "kdump-zlib", "kdump-lzo", "kdump-snappy", "win-dmp")
_DESCRIPTOR = "ganeti-hv-kvm-dump"
#: Beside the guest's memory: headers, and memory of devices.
_BESIDE = 64 << 20
_MIB = 1 << 20
_LOOK = 0.5
_MOST_FAILURES = 10


class _Progress(NamedTuple):
    status: str
    completed: int
    total: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    arguments.add_name(parser)
    parser.add_argument("file", type=Path, metavar="FILE", help="made anew; it must not be there")
    parser.add_argument(
        "--format", choices=_FORMATS, default="elf", help="the file's format (default: %(default)s)"
    )
    arguments.add_timeout(parser)
    arguments.add_json(parser)
    arguments.add_directories(parser, "run")


def run(options: argparse.Namespace) -> int:
    """Write it, and wait for the end: QEMU cannot be told to break off."""
    guest = guests.find(options.run_dir, options.name)
    name, path = output.quoted(guest.name), options.file
    before = _look_before(guest, options)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as err:
        raise CommandError(f"{path} cannot be made: {err.strerror}; nothing was done") from err
    try:
        _begin(guest, options, descriptor)
    except CommandError as err:
        if err.facts.get("sent") is False or err.facts.get("refused"):
            path.unlink(missing_ok=True)
            raise
        raise CommandError(f"{err}; {path} is left as it is", **err.facts) from err
    finally:
        os.close(descriptor)
    if not options.json:
        output.complain(
            f"{name} stands still while its memory is written; Ganeti goes on saying that it runs,"
            " and its requests are answered"
        )
    _wait(guest, options)
    return _tell(guest, options, before)


def _look_before(guest: LocalGuest, options: argparse.Namespace) -> str:
    """Give what the guest does; raises `CommandError` where the dump could not end well."""
    with monitor.connected(guest, options.timeout) as qmp:
        state = run_state.ask(qmp).status
        answer = qmp.execute_qmp("query-dump-guest-memory-capability")
        size = qmp.execute_qmp(numbers.SIZE)
        running = _read(qmp.execute_qmp("query-dump"))
    formats = answer.get("formats") if isinstance(answer, dict) else None
    if not isinstance(formats, list) or options.format not in formats:
        told = formats if isinstance(formats, list) else ()
        known = ", ".join(output.quoted(str(one)) for one in told)
        raise CommandError(f"this QEMU writes no {options.format}, but {known or 'nothing'}")
    if running.status == "active":
        raise CommandError(f"{output.quoted(guest.name)}: another dump is being written")
    needed = _memory(size) * _MIB + _BESIDE
    try:
        room = os.statvfs(options.file.parent)
    except OSError as err:
        raise CommandError(f"{options.file.parent}: {err.strerror}; nothing was done") from err
    free = room.f_bavail * room.f_frsize
    if options.format == "elf" and free < needed:
        raise CommandError(
            f"{options.file.parent} has {scaled(free)} of room, and {scaled(needed)} may be needed:"
            " nothing was done"
        )
    return state


def _memory(answer: object) -> int:
    """Read MiB out of the answer to query-memory-size-summary; raises `CommandError`."""
    try:
        return numbers.read_size({numbers.SIZE: answer}) or 0
    except numbers.NonsenseError as err:
        raise CommandError(f"QEMU tells what cannot be: {err}; nothing was done") from err


def _begin(guest: LocalGuest, options: argparse.Namespace, descriptor: int) -> None:
    # By descriptor: QEMU may run as another user, or in a chroot.
    with monitor.connected(guest, options.timeout) as qmp:
        qmp.execute_qmp("getfd", {"fdname": _DESCRIPTOR}, fds=[descriptor])
        request = {"paging": False, "protocol": f"fd:{_DESCRIPTOR}", "detach": True}
        qmp.execute_qmp("dump-guest-memory", {**request, "format": options.format})


def _wait(guest: LocalGuest, options: argparse.Namespace) -> None:
    """Look again and again; each look holds the monitor for a moment only."""
    shown, failures = "writing", 0
    try:
        while True:
            with output.progress(shown):
                time.sleep(_LOOK)
            try:
                with monitor.connected(guest, options.timeout) as qmp:
                    progress = _read(qmp.execute_qmp("query-dump"))
            except CommandError as err:
                failures += 1
                if failures > _MOST_FAILURES or not guests.is_there(guest.qmp):
                    raise CommandError(
                        f"how the dump ended cannot be told: {err}; {options.file} is left as it is"
                    ) from err
                continue
            failures = 0
            if progress.status != "active":
                break
            shown = f"writing: {scaled(progress.completed)} of {scaled(progress.total)}"
    except KeyboardInterrupt:
        output.complain(
            f"QEMU goes on writing {options.file}, and {output.quoted(guest.name)} stands still"
            " until it has ended"
        )
        raise
    if progress.status not in ("completed", "failed"):
        raise CommandError(
            "how the dump ended cannot be told: QEMU says"
            f" '{output.quoted(progress.status)}'; {options.file} is left as it is"
        )
    if progress.status == "failed":
        options.file.unlink(missing_ok=True)
        raise CommandError(
            f"QEMU could not write the dump ({output.quoted(progress.status)}), and the file was"
            f" removed; /var/log/ganeti/kvm/{output.quoted(guest.name)}.log may say why"
        )


def _tell(guest: LocalGuest, options: argparse.Namespace, before: str) -> int:
    try:
        with monitor.connected(guest, options.timeout) as qmp:
            after = run_state.ask(qmp)
    except CommandError as err:
        name = output.quoted(guest.name)
        raise CommandError(
            f"{options.file} is written, and what {name} does now cannot be told: {err}",
            **err.facts,
        ) from err
    size = options.file.stat().st_size
    if options.json:
        values = {"name": guest.name, "file": str(options.file), "bytes": size}
        output.write_json({**values, "before": before, "state": after.status})
    else:
        output.write(
            f"{options.file}: {scaled(size)} of {output.quoted(guest.name)}, which {after.words}"
        )
    return exit_status.WELL if after.status == before else exit_status.WRONG


def _read(answer: object) -> _Progress:
    """Read the answer to query-dump; raises `CommandError`."""
    values = answer if isinstance(answer, dict) else {}
    status, completed, total = (values.get(name) for name in ("status", "completed", "total"))
    if not isinstance(status, str) or type(completed) is not int or type(total) is not int:
        raise CommandError("QEMU tells of its dump what cannot be")
    return _Progress(status, max(0, completed), max(0, total))
