"""Running the QEMU binary, until it has gone into the background or has given up."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ganeti import errors, utils

from ganeti_hv_kvm.hv_kvm.ganeti import child_status
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest

from . import new_runtime

#: Seconds that QEMU may take for either.
_STARTING = 30.0


class QemuLog:
    """What QEMU writes to its log (-D): with -daemonize most of its errors go there alone."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._before = self._changed()

    def _changed(self) -> int | None:
        try:
            return os.stat(self._path).st_mtime_ns
        except OSError:
            return None

    def news(self, most: int = 2000) -> str:
        """Give the log's last ``most`` bytes, if it was written to since this object was made.

        QEMU starts the log anew, so its old length says nothing.
        """
        if self._changed() == self._before:
            return ""
        try:
            with open(self._path, "rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - most))
                return log.read().decode("utf-8", "replace").strip()
        except OSError:
            return ""


def run(guest: Guest, command: Sequence[str], fds: Sequence[int]) -> None:
    """Run a command that ends when the guest's QEMU is there.

    Args:
        command: QEMU's whole command line, with -daemonize.
        fds: descriptors that it inherits.

    Raises:
        errors.HypervisorError: it is not there, with what QEMU said.
    """
    name = guest.name
    log = QemuLog(new_runtime.log_file(name))
    started = list[int]()
    try:
        result = utils.RunCmd(list(command), noclose_fds=list(fds), postfork_fn=started.append)
    except BaseException as err:
        # QEMU may be on its way: what is to end it must find its pid file
        left = [pid for pid in started if not child_status.wait_for_end(pid, _STARTING)]
        if not isinstance(err, Exception):
            raise
        more = f"; process {left[0]}, to become its QEMU, is still there" if left else ""
        raise errors.HypervisorError(f"Instance {name} was not started: {err}{more}") from err
    if result.failed:
        # warnings may have gone to the terminal, and the error to the log
        said = "\n".join(filter(None, (result.output.strip(), log.news()))) or "nothing"
        raise errors.HypervisorError(
            f"Instance {name} was not started: QEMU {result.fail_reason} and said: {said}"
        )
    if not guest.seams.pid_alive(name)[2]:
        raise errors.HypervisorError(
            f"Instance {name} was not started: QEMU came up and went again,"
            f" and said: {log.news() or 'nothing'}"
        )
