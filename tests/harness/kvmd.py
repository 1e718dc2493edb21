"""Ganeti's real daemon kvmd, for one node of ours.

Its own files follow GANETI_ROOTDIR, but the sockets that it watches lie below /var/run/ganeti in
any case: this sandbox gets a /run of its own, with the node's folder in it.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .node import HOST_NAME, require_sandbox

_SSCONF = {
    "hypervisor_list": "kvm",
    "node_vm_capable": f"{HOST_NAME}=True",
    "enabled_user_shutdown": "True",
}


@contextmanager
def can_run(root: Path) -> Iterator[None]:
    """Where kvmd would refuse to start, it can be started now; it ends with the block.

    ``root`` is the node's root folder, GANETI_ROOTDIR.
    """
    require_sandbox()
    for key, value in _SSCONF.items():
        (root / f"var/lib/ganeti/ssconf_{key}").write_text(f"{value}\n")
    subprocess.run(["mount", "-t", "tmpfs", "run", "/run"], check=True)
    os.mkdir("/run/ganeti")
    subprocess.run(["mount", "--bind", str(root / "var/run/ganeti"), "/run/ganeti"], check=True)
    try:
        yield
    finally:
        _end()
        subprocess.run(["umount", "--lazy", "/run/ganeti", "/run"], check=True)


def _end() -> None:
    from ganeti import constants, utils

    pid_file = utils.DaemonPidFileName(constants.KVMD)
    pid = utils.ReadPidFile(pid_file)
    if utils.IsDaemonAlive(constants.KVMD):
        os.kill(pid, signal.SIGKILL)
    # a stale one keeps the next daemon from starting
    utils.RemoveFile(pid_file)
