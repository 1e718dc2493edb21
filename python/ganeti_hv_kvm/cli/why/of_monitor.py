"""Findings about a guest's monitor and who holds it, and about what the guest does."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from ganeti_hv_kvm import json_shapes as shapes
from ganeti_hv_kvm.cli.frame.finding import Finding, note, trouble, unknown, well
from ganeti_hv_kvm.cli.frame.output import quoted
from ganeti_hv_kvm.cli.frame.table import duration
from ganeti_hv_kvm.cli.node import look, masking, process
from ganeti_hv_kvm.cli.node.inquiry import MIGRATION, STATUS, VERSION, Inquiry
from ganeti_hv_kvm.cli.node.patience import OutOfPatienceError, within
from ganeti_hv_kvm.errors import HypervisorError
from ganeti_hv_kvm.migration_decision import NodeState, has_left, is_paused
from ganeti_hv_kvm.qmp_values import run_state
from ganeti_hv_kvm.qmp_values.migration import read_migration

_ABOUT = "monitor"
_SHOWN = 120
_FOR_THE_KERNEL = 0.5

#: What is done next, by QEMU's run states; of what they mean `run_state` knows.
_NEXT = {
    "paused": "ganeti-hv-kvm cont {name}",
    "prelaunch": "ganeti-hv-kvm cont {name}",
    "debug": "ganeti-hv-kvm cont {name}",
    "io-error": "ganeti-hv-kvm cont {name}",
    "suspended": "ganeti-hv-kvm qmp {name} system_wakeup --write",
    "inmigrate": "ganeti-hv-kvm migration {name}",
    "finish-migrate": "ganeti-hv-kvm migration {name}",
    "colo": "ganeti-hv-kvm migration {name}",
    "postmigrate": "gnt-instance migrate --cleanup {name}",
    "save-vm": "ganeti-hv-kvm qmp {name} query-jobs",
    "restore-vm": "ganeti-hv-kvm qmp {name} query-jobs",
    "shutdown": "gnt-instance shutdown {name}",
    "internal-error": "gnt-instance reboot --type=hard {name}",
    "watchdog": "gnt-instance reboot --type=hard {name}",
    "guest-panicked": "gnt-instance reboot --type=hard {name}",
}


#: A QEMU whose guest went elsewhere: somebody has to end it, or Ganeti hears of the move late.
_LEFT_OVER = "postmigrate"


def findings(found: Inquiry) -> Iterator[Finding]:
    """Say what is to be said of the monitor and of the guest's state."""
    if found.seen.verdict == look.ANSWERED:
        yield well(_ABOUT, f"answers ({_version(found.replies.get(VERSION))})")
    elif (found.pid or found.seen.doubt) and found.seen.condition != "exiting":
        yield from _silence(found)
    if STATUS in found.replies:
        yield _state(found)


def _version(reply: object) -> str:
    try:
        version = shapes.members(shapes.members(reply)["qemu"])
        return f"QEMU {version['major']:d}.{version['minor']:d}.{version['micro']:d}"
    except (TypeError, KeyError, ValueError):
        return "QEMU, of a version that it does not tell"


def _silence(found: Inquiry) -> Iterator[Finding]:
    name, seen = quote(found.guest.name), found.seen
    why = quoted(masking.text(seen.reason or "nothing is known of why"))
    if seen.verdict == look.BUSY and seen.holder_pid is not None:
        yield trouble(
            _ABOUT,
            f"another client holds it, and Ganeti's calls wait for that: {_who(seen.holder_pid)}",
            f"ps -wwfp {seen.holder_pid}",
            f"kill {seen.holder_pid}",
        )
    elif seen.verdict == look.BUSY:
        yield trouble(
            _ABOUT, f"another client holds it, and it cannot be told who: {why}", "ss -xp"
        )
    elif seen.condition in ("stopped", "frozen"):
        yield trouble(_ABOUT, "nobody is answered as long as the process stands still")
    elif seen.verdict == look.SILENT:
        yield trouble(
            _ABOUT,
            f"no answer within {found.seconds:g} s: QEMU's main loop is busy or hangs"
            + _main(found),
            f"ganeti-hv-kvm why {name} --timeout {max(60, round(4 * found.seconds))}",
        )
    elif seen.verdict == look.GONE:
        yield trouble(
            _ABOUT,
            f"nobody listens on {found.guest.qmp}: {why}; the guest runs on, and cannot be asked",
            "ss -xlp",
            f"gnt-instance shutdown --force {name}",
        )
    else:
        yield unknown(_ABOUT, f"what came is not what a QEMU says: {why}", f"ss -xlp | grep {name}")


def _main(found: Inquiry) -> str:
    """What the main thread does, if that explains it."""
    threads = found.process.threads if found.process else ()
    main = next((one for one in threads if one.tid == found.pid), None)
    if main is None or main.state == "D":  # that is said of the thread
        return ""
    return f" (its main thread {quoted(main.words)})"


def _who(pid: int) -> str:
    try:
        seen = within(_FOR_THE_KERNEL, lambda: process.read(pid))
        command = within(_FOR_THE_KERNEL, lambda: process.command_line(pid))
    except (OSError, OutOfPatienceError):
        return f"process {pid}"
    age = f", began {duration(seen.age)} ago" if seen and seen.age is not None else ""
    shown = quoted(" ".join(masking.words(command)))[:_SHOWN]
    return f"process {pid} ({shown or '?'}{age})"


def _state(found: Inquiry) -> Finding:
    name = quote(found.guest.name)
    try:
        state = run_state.read(found.replies[STATUS])
    except HypervisorError as err:
        return unknown("guest", str(err), f"ganeti-hv-kvm qmp {name} query-status")
    if state.is_running:
        return well("guest", state.meaning)
    if _left_and_was_reset(found, state.status):
        return trouble("guest", "was migrated away, and reset", _NEXT[_LEFT_OVER].format(name=name))
    make = trouble if state.is_trouble or state.status == _LEFT_OVER else note
    advice = _NEXT.get(state.status, "ganeti-hv-kvm qmp {name} query-status")
    return make("guest", state.words, advice.format(name=name))


def _left_and_was_reset(found: Inquiry, run_state: str) -> bool:
    """Of a guest that was sent and then reset QEMU says "prelaunch"; it must not be let run."""
    try:
        migration = read_migration(found.replies.get(MIGRATION))
    except HypervisorError:
        return False
    seen = NodeState.told(migration, run_state)
    return is_paused(seen) and has_left(seen)
