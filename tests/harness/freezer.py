"""The freezer of a cgroup, in the mount namespace of the sandbox."""

from __future__ import annotations

import contextlib
import errno
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ganeti_hv_kvm import _native

_AMPLE = 30.0


@contextmanager
def freezer() -> Iterator[tuple[Path, str, str]]:
    """A cgroup whose processes can be frozen: its folder, the file for that, what freezes."""
    top = Path("/sys/fs/cgroup")
    # of the whole machine, where process ids of a sandbox are not the only ones of their number
    name = f"gnt-{uuid.uuid4()}"
    subprocess.run(["mount", "-t", "tmpfs", "none", top], check=True)
    try:
        mount = top / "freezer"
        mount.mkdir()
        old = ["mount", "-t", "cgroup", "-o", "freezer", "none", mount]
        if subprocess.run(old, check=False, capture_output=True).returncode == 0:
            group, file, on = mount / name, "freezer.state", "FROZEN"
        else:
            subprocess.run(["umount", top], check=True)
            subprocess.run(["mount", "-t", "cgroup2", "none", top], check=True)
            group, file, on = top / name, "cgroup.freeze", "1"
        group.mkdir()
        yield group, file, on
        _remove(group)
    finally:
        subprocess.run(["umount", "-R", top], check=True)


@contextmanager
def frozen(pid: int) -> Iterator[str]:
    """A process while it is frozen; gives what was written to freeze it."""
    with freezer() as (group, file, on):
        (group / "cgroup.procs").write_text(str(pid))
        (group / file).write_text(on)
        try:
            limit = time.monotonic() + _AMPLE
            while _native.process_condition(pid) != "frozen":
                assert time.monotonic() < limit
                time.sleep(0.01)
            yield on
        finally:
            (group / file).write_text("THAWED" if on == "FROZEN" else "0")
            with contextlib.suppress(ProcessLookupError):  # it may have been killed meanwhile
                (group.parent / "cgroup.procs").write_text(str(pid))


def _remove(group: Path) -> None:
    """Removes a cgroup; a process that is ending keeps it for a moment."""
    limit = time.monotonic() + _AMPLE
    while True:
        try:
            return group.rmdir()
        except OSError as err:
            if err.errno != errno.EBUSY or time.monotonic() > limit:
                raise
        time.sleep(0.01)
