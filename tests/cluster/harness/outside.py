"""Runs a command in the sandbox and checks that this machine is afterwards as it was before.

``python -m cluster.harness.outside COMMAND...``: its exit status is the command's, or 1 if anything
is left: a process, a mount, an interface, a changed file where Ganeti or ssh keep theirs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

_SANDBOX = Path(__file__).resolve().parents[2] / "harness/sandbox"
_WATCHED = ("/etc", "/var/lib/ganeti", "/var/log/ganeti", "/run/ganeti", "/root/.ssh", "/srv")


def start_sandbox(*command: str, **options: object) -> subprocess.Popen[bytes]:
    """Begin a command in the sandbox; killing the process ends everything inside."""
    return subprocess.Popen([str(_SANDBOX), *command], **options)  # type: ignore[call-overload,no-any-return]


def first_process(sandbox: int, timeout: float = 10.0) -> int | None:
    """The process id, as seen from here, of the sandbox's process 1."""
    children = Path(f"/proc/{sandbox}/task/{sandbox}/children")
    ours = os.readlink("/proc/self/ns/pid")
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, IndexError):
            child = int(children.read_text().split()[0])
            if os.readlink(f"/proc/{child}/ns/pid") != ours:
                return child
        time.sleep(0.02)
    return None


def snapshot() -> dict[str, object]:
    """What must not change, by a readable name."""
    found: dict[str, object] = {f"interface {name}": "" for name in os.listdir("/sys/class/net")}
    for line in Path("/proc/self/mounts").read_text().splitlines():
        found[f"mount {line.split()[1]}"] = line
    for folder in _WATCHED:
        found.update(_files(folder))
    return found


def _files(folder: str) -> Iterator[tuple[str, object]]:
    for parent, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.join(parent, name)
            with contextlib.suppress(OSError):
                status = os.lstat(path)
                is_folder = name in folders
                yield (
                    f"file {path}",
                    status.st_mode if is_folder else (status.st_mtime_ns, status.st_size),
                )


def differences(before: dict[str, object], after: dict[str, object]) -> list[str]:
    added = [f"left: {name}" for name in after.keys() - before.keys()]
    lost = [f"gone: {name}" for name in before.keys() - after.keys()]
    changed = [f"changed: {k}" for k in before.keys() & after.keys() if before[k] != after[k]]
    return sorted(added + lost + changed)


def processes_in(namespace: str) -> list[str]:
    """The processes in a pid namespace, given as the link that /proc shows for it."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{entry}/ns/pid") == namespace:
                found.append(f"left: process {entry}")
    return found


def main(command: Sequence[str]) -> int:
    before = snapshot()
    sandbox = start_sandbox(*command)
    first = first_process(sandbox.pid)
    namespace = ""
    with contextlib.suppress(OSError):
        namespace = os.readlink(f"/proc/{first}/ns/pid")
    # Ctrl-C reaches the sandbox as well: this process waits for it, and then looks.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        status = sandbox.wait()
    finally:
        sandbox.kill()
        sandbox.wait()
    left = differences(before, snapshot())
    if namespace:
        left += processes_in(namespace)
    for line in left:
        print(line, file=sys.stderr)
    print("outside the sandbox: " + (f"{len(left)} differences" if left else "nothing left"))
    return status or bool(left)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
