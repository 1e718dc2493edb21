"""Findings about a guest's process: is it there, does anything hold it, what do its threads do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from ganeti_hv_kvm.cli.frame.finding import Finding, note, trouble, unknown, well
from ganeti_hv_kvm.cli.frame.output import quoted
from ganeti_hv_kvm.cli.frame.table import duration
from ganeti_hv_kvm.cli.node.guests import is_there
from ganeti_hv_kvm.cli.node.inquiry import Inquiry
from ganeti_hv_kvm.cli.node.process import PROC, Process, Thread, name_of

_ABOUT = "process"
_MANY = 0.9  # of the descriptors that it may have
_SHOWN = 4
_FREEZERS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
_OLD_FREEZER = Path("/sys/fs/cgroup/freezer")


def findings(found: Inquiry) -> Iterator[Finding]:
    """Say what is to be said of the process."""
    guest = found.guest
    if found.seen.doubt is not None:
        yield unknown(
            _ABOUT,
            f"it cannot be told whether its QEMU runs: {quoted(found.seen.doubt)}",
            "lslocks -u -o PID,COMMAND,PATH",
            "ss -xlp",
        )
    elif found.pid is None:
        yield from _none(found)
    elif found.process is None:
        yield unknown(
            _ABOUT,
            f"process {found.pid}, and the kernel does not tell what it does",
            f"timeout 5 cat /proc/{found.pid}/status",
        )
    else:
        yield from _one(found.process, found.seen.condition)
    if found.runtime_error is not None:
        yield trouble(
            "runtime file",
            f"{quoted(found.runtime_error)}; the guest runs on, and cannot be managed",
            f"gnt-instance reboot --type=full {quote(guest.name)}",
        )
    elif found.runtime is None and found.pid is not None:
        yield trouble(
            "runtime file",
            f"there is no {guest.runtime}: what the guest was started with is not known",
            f"gnt-instance reboot --type=full {quote(guest.name)}",
        )


def _none(found: Inquiry) -> Iterator[Finding]:
    name = quote(found.guest.name)
    if is_there(found.guest.shutdown):
        yield note(
            _ABOUT,
            "no QEMU of it runs here: its user shut it down",
            f"gnt-instance start {name}",
        )
        return
    yield trouble(
        _ABOUT,
        "no QEMU of it runs here"
        + ("; the end of its log, below, may say why" if found.log and found.log.lines else ""),
        f"gnt-instance list -o name,status,pnode,oper_state {name}",
        f"gnt-instance start {name}",
    )


def _one(process: Process, condition: str | None) -> Iterator[Finding]:
    who = f"process {process.pid}"
    if condition == "frozen":
        yield trouble(
            _ABOUT,
            f"{who} is held by the freezer of its cgroup: the guest stands still",
            *_thaw(process.pid),
        )
    elif process.tracer:
        tracer = quoted(name_of(process.tracer) or "?")
        yield trouble(
            _ABOUT,
            f"{who} is traced by process {process.tracer} ({tracer})"
            + (": the guest stands still" if condition == "stopped" else ""),
            f"ps -wwfp {process.tracer}",
            f"kill {process.tracer}; kill -CONT {process.pid}",
        )
    elif condition == "stopped":
        yield trouble(
            _ABOUT,
            f"{who} is stopped by a signal: the guest stands still, and nobody is answered",
            f"kill -CONT {process.pid}",
        )
    elif condition in ("exiting", "gone"):
        yield trouble(
            _ABOUT,
            f"{who} is on its way out" + (", and something holds it" if process.hanging else ""),
            f"ps -wwLfp {process.pid}",
        )
    else:
        yield well(_ABOUT, f"{who} began {_age(process)} ago, and has {_threads(process)}")
    if condition != "frozen":  # the freezer holds each of them
        yield from _hanging(process)
    yield from _descriptors(process)


def _age(process: Process) -> str:
    return "?" if process.age is None else duration(process.age)


def _threads(process: Process) -> str:
    count = len(process.threads)
    return f"{count} thread{'' if count == 1 else 's'}"


def _hanging(process: Process) -> Iterator[Finding]:
    hanging = process.hanging
    for thread in hanging[:_SHOWN]:
        yield trouble(
            "thread",
            f"{thread.tid} ({quoted(thread.name)}) {quoted(thread.words)}",
            *_of_hanging(thread),
        )
    if len(hanging) > _SHOWN:
        yield trouble("thread", f"{len(hanging) - _SHOWN} more threads wait likewise")


def _of_hanging(thread: Thread) -> list[str]:
    file = thread.call.file if thread.call else None
    if file and file.startswith("/"):
        shown = quote(quoted(file))
        return [f"timeout 5 findmnt -T {shown}", "dmesg | tail -n 30"]
    return ["dmesg | tail -n 30"]


def _descriptors(process: Process) -> Iterator[Finding]:
    used, most = process.descriptors, process.most_descriptors
    if used is not None and most and used > most * _MANY:
        yield trouble(
            "descriptors",
            f"process {process.pid} has {used} of {most} descriptors open: a hot-plug, a"
            " migration or a new client may fail",
            f"prlimit --pid {process.pid} --nofile={2 * most}:",
        )


def _thaw(pid: int) -> list[str]:
    """The command that thaws the cgroup of a process, of either version of cgroups."""
    try:
        groups = (PROC / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        groups = []
    for line in groups:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        place = path.lstrip("/")
        if not controllers:
            for mount in _FREEZERS:
                if (mount / place / "cgroup.freeze").exists():
                    return [f"echo 0 > {quote(str(mount / place / 'cgroup.freeze'))}"]
        elif "freezer" in controllers.split(","):
            return [f"echo THAWED > {quote(str(_OLD_FREEZER / place / 'freezer.state'))}"]
    return [f"cat /proc/{pid}/cgroup"]
