"""A test guest that has Debian's guest agent (qemu-ga) in it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from . import cpio, guest, paths

_PARTS = paths.WORK / "guest-agent"
_PROGRAM = "usr/sbin/qemu-ga"
_LIBRARY = re.compile(r"(?:\S+ => )?(?P<path>/\S+) \(0x")
#: What is typed on the guest's console to start it.
START = (
    "insmod /modules/virtio_console; mkdir -p /var/run;"
    " LD_LIBRARY_PATH=/agent /agent/qemu-ga -d -m virtio-serial -p /dev/vport*p1 -f /var/run/ga"
    " && echo agent' 'started"
)
STARTED = "agent started"


def initramfs() -> Path:
    """The root file system's archive of such a guest."""
    program = _PARTS / _PROGRAM
    assert program.exists(), "it is unpacked by tests/setup/guest_agent.sh"
    folders = [str(_PARTS / "usr/lib/x86_64-linux-gnu"), str(_PARTS / "lib/x86_64-linux-gnu")]
    told = subprocess.run(
        ["ldd", str(program)],
        env={**os.environ, "LD_LIBRARY_PATH": ":".join(folders)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    entries = [cpio.folder("agent"), cpio.executable("agent/qemu-ga", program.read_bytes())]
    loader = False
    for library in map(Path, (found["path"] for found in _LIBRARY.finditer(told))):
        data = library.read_bytes()
        if library.name.startswith("ld-linux"):
            loader = True
            entries += [cpio.folder("lib64"), cpio.executable(f"lib64/{library.name}", data)]
        else:
            entries.append(cpio.executable(f"agent/{library.name}", data))
    assert loader, told
    return guest.initramfs([*entries, *guest.modules("virtio_console")])
