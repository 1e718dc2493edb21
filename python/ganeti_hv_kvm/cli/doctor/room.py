"""Room that guests need on this node: on /run and for logs, descriptors, tools and devices."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from shlex import quote

from ganeti_hv_kvm.cli.doctor.diagnosis import Diagnosis
from ganeti_hv_kvm.cli.frame.finding import note, trouble, unknown, well
from ganeti_hv_kvm.cli.frame.output import quoted
from ganeti_hv_kvm.cli.node.patience import OutOfPatienceError, within
from ganeti_hv_kvm.cli.node.process import PROC, Process

#: Bytes that a start may need below /run, and files.
_ROOM = 1 << 20
_FILES = 64
_MANY = 0.9
_FOR_THE_KERNEL = 1.0
_SEARCH_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
#: What Ganeti's module, its scripts and this command's advice run, and Debian's package of each.
_TOOLS = {
    "ip": "iproute2",
    "ss": "iproute2",
    "socat": "socat",
    "lslocks": "util-linux",
    "ps": "procps",
}
_TUN = Path("/dev/net/tun")


def directories(paths: Iterable[Path]) -> Iterator[Diagnosis]:
    """Look at the file system of each directory."""
    full = False
    seen = []
    for path in paths:
        try:
            room = within(_FOR_THE_KERNEL, lambda path=path: os.statvfs(path))  # type: ignore[misc]
        except FileNotFoundError:
            continue
        except (OSError, OutOfPatienceError) as err:
            yield Diagnosis(
                unknown(
                    "room",
                    f"{path}: its file system does not answer: {err}",
                    f"timeout 5 df {path}",
                )
            )
            full = True
            continue
        shown = quote(str(path))
        if room.f_flag & os.ST_RDONLY:
            yield Diagnosis(
                trouble(
                    "room", f"{path} is read-only: no guest can be started", "dmesg | tail -n 30"
                )
            )
        elif room.f_blocks and room.f_bavail * room.f_frsize < _ROOM:
            left = room.f_bavail * room.f_frsize >> 10
            yield Diagnosis(
                trouble(
                    "room",
                    f"{path} has {left} KiB left: starts, hot-plug and migrations fail",
                    f"df -h {shown}",
                    f"du -xh {shown} | sort -h | tail",
                )
            )
        elif room.f_files and room.f_favail < _FILES:
            yield Diagnosis(
                trouble(
                    "room",
                    f"{path} has room for {room.f_favail} more files (inodes)",
                    f"df -i {shown}",
                )
            )
        else:
            seen.append(path)
            continue
        full = True
    if not full and seen:
        yield Diagnosis(well("room", f"{', '.join(map(str, seen))} have room"))


def descriptors(processes: Iterable[Process], proc: Path = PROC) -> Iterator[Diagnosis]:
    """Look at how many descriptors each process has open, and the node as a whole."""
    short = False
    for one in processes:
        used, most = one.descriptors, one.most_descriptors
        if used is not None and most and used > most * _MANY:
            short = True
            yield Diagnosis(
                trouble(
                    "descriptors",
                    f"process {one.pid} ({quoted(one.name)}) has {used} of {most} open",
                    f"ls -l /proc/{one.pid}/fd | tail",
                    f"prlimit --pid {one.pid} --nofile={2 * most}:",
                )
            )
    try:
        used, _, most = (int(word) for word in (proc / "sys/fs/file-nr").read_text().split())
    except (OSError, ValueError) as err:
        yield Diagnosis(unknown("descriptors", f"of the node: {err}"))
        return
    if used > most * _MANY:
        yield Diagnosis(
            trouble(
                "descriptors",
                f"this node has {used} of {most} files open",
                f"sysctl -w fs.file-max={2 * most}",
            )
        )
    elif not short:
        yield Diagnosis(well("descriptors", "enough of them are left"))


def tools(programs: Iterable[str], *, wants_tun: bool) -> Iterator[Diagnosis]:
    """Look for what guests and this command's advice need.

    Args:
        programs: paths of the QEMUs that runtime files name.
        wants_tun: a guest has NICs.
    """
    missing = False
    for name, package in _TOOLS.items():
        if shutil.which(name, path=_SEARCH_PATH) is None:
            missing = True
            yield Diagnosis(
                note("tools", f"there is no {name} on this node", f"apt install {package}")
            )
    for program in sorted(set(programs)):
        if not os.access(program, os.X_OK):
            missing = True
            yield Diagnosis(
                trouble(
                    "tools",
                    f"{quoted(program)}, which a guest was started with, is gone: it runs on, and"
                    " does not start again",
                    "apt install qemu-system-x86",
                )
            )
    if wants_tun and not _TUN.exists():
        missing = True
        yield Diagnosis(
            trouble(
                "tools", f"there is no {_TUN}: no guest with a NIC can be started", "modprobe tun"
            )
        )
    if not missing:
        yield Diagnosis(well("tools", "none is missing"))
