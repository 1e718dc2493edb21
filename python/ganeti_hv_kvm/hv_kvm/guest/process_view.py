"""As whom a process runs, and what it sees as the root folder.

It is the kernel's word, of a QEMU that has taken its user and its chroot by now.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from ganeti import errors


class ProcessView(NamedTuple):
    """What a process may open, and where it looks.

    Attributes:
        root: its root folder, as a path of this node.
        uid: its effective user.
        gid: its effective group.
    """

    root: str
    uid: int
    gid: int


def of(pid: int) -> ProcessView:
    """Look at a process.

    Raises:
        errors.HypervisorError: the kernel does not tell.
    """
    try:
        root = os.readlink(f"/proc/{pid}/root")
        # not the owner of /proc/PID: that is root once a process has given up rights
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as status:
            fields = dict(line.split(":", 1) for line in status if ":" in line)
        uid, gid = (int(fields[field].split()[1]) for field in ("Uid", "Gid"))
    except (OSError, KeyError, IndexError, ValueError) as err:
        raise errors.HypervisorError(
            f"as whom process {pid} runs cannot be told: {type(err).__name__}: {err}"
        ) from err
    return ProcessView(root, uid, gid)
