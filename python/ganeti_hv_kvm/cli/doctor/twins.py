"""Two QEMUs of one instance, on this node or on two, with how each would be settled.

The kernel says which process has an instance's pid file or monitor. Another one that calls itself
by the same name and paths is looked at by a person: command lines are words.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from ganeti_hv_kvm.cli.doctor.diagnosis import Diagnosis
from ganeti_hv_kvm.cli.frame.finding import note, trouble
from ganeti_hv_kvm.cli.frame.output import quoted
from ganeti_hv_kvm.cli.node import process
from ganeti_hv_kvm.cli.node.patience import OutOfPatienceError, within
from ganeti_hv_kvm.cli.node.process import PROC
from ganeti_hv_kvm.migration_decision import NodeState, has_left, in_words, is_paused
from ganeti_hv_kvm.qmp_values.run_state import RunState

_FOR_THE_KERNEL = 0.2
_STOPPED_FOR_GOOD = "postmigrate"
#: What tells more, by the run state of a guest that is, or may be, on another node.
_ELSEWHERE = {
    _STOPPED_FOR_GOOD: "gnt-instance migrate --cleanup {name}",
    "finish-migrate": "ganeti-hv-kvm migration {name}",
    "inmigrate": "gnt-instance migrate --cleanup {name}",
}


def on_this_node(
    run_directory: Path, pids: dict[str, int | None], doubtful: set[str], proc: Path = PROC
) -> Iterator[Diagnosis]:
    """Find processes that call themselves a QEMU of an instance, and do not have its files.

    Args:
        run_directory: where those files are.
        pids: by name, the QEMU that has them; None for none.
        doubtful: names of which that cannot be told.
        proc: where the kernel shows processes.

    Raises:
        OSError: the processes cannot be listed.
    """
    for pid in process.pids(proc):
        name = _name_of(pid, run_directory, proc)
        if name is None or name in doubtful or pids.get(name) == pid:
            continue
        other = pids.get(name)
        what = (
            f"process {other} has the instance's files"
            if other is not None
            else "no process has the instance's files: Ganeti takes it to be down"
        )
        yield Diagnosis(
            trouble(
                "two QEMUs",
                f"process {pid} calls itself {quoted(name)}, and {what}. Find out which of them"
                " the guest is in, before either is ended",
                f"ps -wwLfp {pid}" + ("" if other is None else f" -p {other}"),
                f"ls -l /proc/{pid}/fd",
            )
        )


def on_two_nodes(states: dict[str, NodeState]) -> Iterator[Diagnosis]:
    """Say of each guest that its QEMU tells to be elsewhere how this node would settle that.

    Args:
        states: by name, what is known of it here.
    """
    for name, state in states.items():
        # one that has left and was reset is no more "postmigrate"
        left_and_reset = has_left(state) and is_paused(state)
        where = _STOPPED_FOR_GOOD if left_and_reset else state.run_state
        if where not in _ELSEWHERE:
            continue
        what = "was migrated away, and reset" if left_and_reset else RunState(where).words
        text = (
            f"{quoted(name)} {what}. If Ganeti calls its migration a"
            f" success: {in_words(state, True)}; if it calls it off: {in_words(state, False)}"
        )
        if has_left(state):
            text += (
                ". Until then this QEMU is left on purpose: without it the watcher would start the"
                " guest here a second time"
            )
        advice = _ELSEWHERE[where]
        # nobody but a person moves it on from there
        make = trouble if where == _STOPPED_FOR_GOOD else note
        yield Diagnosis(make("two QEMUs", text, advice.format(name=quote(name))))


def departed(directory: Path, here: set[str]) -> Iterator[Diagnosis]:
    """Name the guests that left this node and are not started here as long as that is remembered.

    Args:
        directory: of the records.
        here: names of the guests that run here, or of which that cannot be told.
    """
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return
    for name in names:
        if name not in here:
            yield Diagnosis(
                note(
                    "migration",
                    f"{quoted(name)} left this node, and is not started here until Ganeti's"
                    " configuration shows that it has heard",
                    f"gnt-instance migrate --cleanup {quote(name)}",
                )
            )


def _name_of(pid: int, run_directory: Path, proc: Path) -> str | None:
    """The instance whose pid file or monitor a command line names; only of a QEMU."""
    try:
        words = within(_FOR_THE_KERNEL, lambda: process.command_line(pid, proc))
    except (OSError, OutOfPatienceError):
        return None
    pid_directory = f"{run_directory}/pid/"
    for switch, value in itertools.pairwise(words):
        if switch == "-pidfile" and value.startswith(pid_directory):
            return value.removeprefix(pid_directory)
    return None
