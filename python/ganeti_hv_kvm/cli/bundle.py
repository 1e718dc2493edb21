"""All that this command knows of one guest and its node, as named texts, secrets masked.

Each part is had on its own: what cannot be had is a line of ``missing.txt``.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ganeti_hv_kvm.cli.frame.arguments import NODE_DAEMON_LOG
from ganeti_hv_kvm.cli.node import children, masking, qemu_log
from ganeti_hv_kvm.cli.node.guests import LocalGuest
from ganeti_hv_kvm.cli.node.patience import OutOfPatienceError, within
from ganeti_hv_kvm.cli.node.process import PROC

_MOST_BYTES = 1 << 20
_LOG_LINES = 500
_MODE = 0o600
_OF_PROCESS = ("status", "limits", "cgroup", "maps", "sched")
#: Of one QEMU; none of them changes anything.
QUESTIONS = (
    "query-version",
    "query-status",
    "query-migrate",
    "query-block",
    "query-blockstats",
    "query-named-block-nodes",
    "query-block-jobs",
    "query-jobs",
    "query-pci",
    "query-cpus-fast",
    "query-balloon",
    "query-chardev",
    "query-iothreads",
    "query-fdsets",
)
#: Of the node; each has its own time limit.
PROGRAMS = {
    "ip-link.txt": ("ip", "-d", "link"),
    "sockets.txt": ("ss", "-xap"),
    "locks.txt": ("lslocks", "-u"),
    "room.txt": ("df", "-h", "/run", "/var/log", "/var/lib/ganeti"),
    "kernel-log.txt": ("dmesg", "--ctime"),
}


class Part(NamedTuple):
    """One file of the archive; ``text`` None: it could not be had, and why."""

    name: str
    text: str | None
    why_not: str = ""


def parts(
    guest: LocalGuest, pid: int | None, log_directory: Path, seconds: float
) -> Iterator[Part]:
    """Give what is read from files, the kernel and QEMU; nothing is changed.

    Args:
        guest: whose.
        pid: its QEMU; None for none, 0 for one that is not known.
        log_directory: where the logs of QEMUs lie.
        seconds: for each part.
    """
    yield _read("runtime.json", lambda: _runtime(guest.runtime), seconds)
    yield _read("qemu.log", lambda: _log(log_directory / f"{guest.name}.log"), seconds)
    daemon_log = log_directory.parent / NODE_DAEMON_LOG
    yield _read("node-daemon.log", lambda: _mentions(daemon_log, guest.name), seconds)
    for name in _OF_PROCESS if pid else ():
        path = PROC / str(pid) / name
        yield _read(f"process/{name}", lambda path=path: _head(path), seconds)  # type: ignore[misc]
    if pid:
        yield _read("process/fd", lambda: _descriptors(pid), seconds)
    yield from _answers(guest, pid, seconds)
    for name, argv in PROGRAMS.items():
        yield _read(f"node/{name}", lambda argv=argv: _output(argv, seconds), seconds + 1)  # type: ignore[misc]


def of_command(name: str, argv: list[str], seconds: float) -> Part:
    """Give what one of this command's own commands says, in a process that may be given up."""
    whole = (sys.executable, "-m", "ganeti_hv_kvm", *argv)

    def look() -> str:
        done = children.listen(whole, seconds)
        title = f"$ ganeti-hv-kvm {' '.join(argv)}"
        return f"{title}\n{done.stdout}{done.stderr}exit status {done.status}\n"

    return _read(name, look, seconds + 1)


def _read(name: str, look: Callable[[], str], seconds: float) -> Part:
    try:
        text = within(seconds, look)
    except (OSError, ValueError, OutOfPatienceError) as err:
        why = str(err)
        if isinstance(err, OSError) and err.filename:
            why = f"{err.filename}: {err.strerror}"
        return Part(name, None, masking.text(why))
    return Part(name, masking.text(text))


def _head(path: Path) -> str:
    with path.open("rb") as stream:
        return stream.read(_MOST_BYTES).decode("utf-8", "replace")


def _descriptors(pid: int) -> str:
    folder = PROC / str(pid) / "fd"
    numbers = sorted(int(name) for name in os.listdir(folder))
    return "".join(f"{number} -> {_link(folder / str(number))}\n" for number in numbers)


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError as err:
        return f"? ({err.strerror})"


def _runtime(path: Path) -> str:
    text = _head(path)
    try:
        return json.dumps(masking.value(json.loads(text)), indent=2)
    except ValueError:
        return text  # damaged: as it is


def _log(path: Path) -> str:
    end = qemu_log.read_end(path, _LOG_LINES)
    if end is None:
        raise FileNotFoundError(f"there is no {path}")
    return "\n".join(end.lines) + "\n"


def _mentions(path: Path, name: str) -> str:
    with path.open("rb") as stream:
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - _MOST_BYTES))
        lines = stream.read(_MOST_BYTES).decode("utf-8", "replace").splitlines()
    return "".join(f"{line}\n" for line in lines if name in line or "ganeti-hv-kvm" in line)


def _output(argv: tuple[str, ...], seconds: float) -> str:
    done = children.listen(argv, seconds)
    return f"$ {' '.join(argv)}\n{done.stdout[-_MOST_BYTES:]}{done.stderr}"


def _answers(guest: LocalGuest, pid: int | None, seconds: float) -> Iterator[Part]:
    from ganeti_hv_kvm import query_fleet
    from ganeti_hv_kvm.errors import QmpRefusedError

    answer = query_fleet([guest.qmp], QUESTIONS, timeout=seconds, pids=[pid])[0]
    for command, reply in zip(QUESTIONS, answer.replies, strict=False):
        name = f"qemu/{command}.json"
        if isinstance(reply, QmpRefusedError):
            yield Part(name, None, masking.text(str(reply)))
        else:
            yield Part(name, json.dumps(masking.reply(command, {}, reply), indent=2))
    if answer.error is not None:
        yield Part("qemu", None, masking.text(str(answer.error)))


def write(path: Path, directory: str, found: list[Part]) -> None:
    """Write the archive, for its owner alone; nothing is left of one that cannot be written.

    Args:
        path: a new file.
        directory: of everything in it.
        found: its parts; those that could not be had become ``missing.txt``.

    Raises:
        OSError: it cannot be written, or is there already.
    """
    missing = "".join(f"{one.name}: {one.why_not}\n" for one in found if one.text is None)
    files = [(one.name, one.text) for one in found if one.text is not None]
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(path, flags, _MODE)
    try:
        with open(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), _MODE)  # whatever the umask says
            with tarfile.open(fileobj=stream, mode="w:gz") as archive:
                for name, text in [*files, ("missing.txt", missing)]:
                    _add(archive, f"{directory}/{name}", text)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    content = text.encode("utf-8", "replace")
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = len(content), _MODE, int(time.time())
    archive.addfile(member, io.BytesIO(content))
