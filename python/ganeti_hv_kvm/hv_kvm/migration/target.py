"""The node that a guest comes to: QEMU waits for it here, and takes it over."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from ganeti import constants, errors, utils

from ganeti_hv_kvm.hv_kvm.command_line import DEFERRED, START_PAUSED
from ganeti_hv_kvm.hv_kvm.guest import process as instance_process
from ganeti_hv_kvm.hv_kvm.guest.guest import Guest
from ganeti_hv_kvm.hv_kvm.guest.undo import Undo
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime
from ganeti_hv_kvm.hv_kvm.lifecycle.start import Start, check_down
from ganeti_hv_kvm.hv_kvm.qemu import binary
from ganeti_hv_kvm.hv_kvm.qemu.verbs import control
from ganeti_hv_kvm.migration_decision import AtTarget, NodeState, at_target

from . import born, capabilities, departure, incoming_nics, info, way
from .side import ask, look, monitor

if TYPE_CHECKING:
    from ganeti_hv_kvm.hv_kvm.monitor import QmpConnection

#: Seconds that QEMU gets to load the end of the guest's state.
ARRIVAL = 60.0
#: Seconds that an aborted migration gets which may just be completing.
LAST_CHANCE = 0.5
_LOOK = 0.05


def accept(guest: Guest, text: str, target: str) -> None:
    """Start a QEMU that waits for the guest.

    Its runtime file and those of its NICs are written now: should nobody say that the guest has
    arrived, it can be managed all the same.

    Args:
        text: what ``info.make`` gave on the source.
        target: address of this node to listen on.

    Raises:
        errors.HypervisorError: what failed; nothing is left of the attempt.
    """
    instance = guest.instance
    check_down(guest.name, guest.seams.pid_alive(guest.name))
    runtime = KVMRuntime.from_serialized(info.runtime_of(text))
    command, *rest = runtime
    facts = binary.probe(command[0])
    born.check(guest.name, runtime, facts)
    incoming_nics.check(runtime.kvm_nics)
    offered = info.offer_of(instance, text)
    way.check(guest, offered)
    if info.was_running(instance, text):
        # a guest that was started paused, and runs now, is to run on as soon as it arrives
        command = [word for word in command if word != START_PAUSED]
    start = Start(
        guest,
        KVMRuntime([command, *rest]),
        facts,
        incoming=DEFERRED,
        configure_nic=incoming_nics.before_arrival(guest.seams.configure_nic),
    )
    start.run(lambda: guest.seams.write_runtime(guest.name, info.runtime_of(text)))
    with Undo(f"acceptance of {guest.name}") as undo:
        undo.add("files of the instance", lambda: guest.seams.clean_up(guest.name))
        undo.add("NICs", lambda: incoming_nics.undo(guest, text))
        undo.add("QEMU", lambda: _end(guest))
        with monitor(guest) as qmp:
            born.compare(guest, qmp, info.extra_of(text))
            capabilities.set_all(instance, qmp)
            way.wait_for(guest, qmp, offered, target)
    # Ganeti sends it here from another node, so it knows where the guest was
    departure.forget(guest.name)


def finalize(guest: Guest, text: str, success: bool) -> None:
    """Settle the end of a migration on the node that the guest was to come to.

    Args:
        text: what ``info.make`` gave on the source.
        success: Ganeti has seen the migration complete; else it is aborted.

    Raises:
        errors.HypervisorError: what was left as it was, why, and what a person has to do.
    """
    if success:
        _take_over(guest, text)
    else:
        _give_up(guest, text)


def _take_over(guest: Guest, text: str) -> None:
    action, seen = _wait_for_arrival(guest)
    if action not in (AtTarget.DONE, AtTarget.RESUME):
        raise errors.HypervisorError(_explain(guest, action, seen))
    # the guest is here: what cannot be written must not leave it paused
    problem = _keep_runtime(guest, text)
    incoming_nics.after_arrival(guest, text)
    with monitor(guest) as qmp:
        if action is AtTarget.RESUME and info.was_running(guest.instance, text):
            control.cont(qmp)
        capabilities.clear_all(guest.instance, qmp)
        way.end(guest, qmp)
    if problem:
        raise errors.HypervisorError(
            f"Instance {guest.name} is here, and was taken over, but what it was started with is"
            f" not kept: {problem}. Make room, run 'gnt-instance migrate --cleanup {guest.name}';"
            f" until the guest is shut down and started again (gnt-instance reboot --type=full),"
            " it cannot be migrated, and nothing can be hot-plugged"
        )


def _keep_runtime(guest: Guest, text: str) -> errors.HypervisorError | None:
    """Write the runtime file, if it is not that of ``accept``: Ganeti's own module writes none."""
    content = info.runtime_of(text)
    try:
        if utils.ReadFile(guest.files.runtime) == content:
            return None
    except (OSError, UnicodeDecodeError) as err:
        logging.info("The runtime file of %s is written now: %s", guest.name, err)
    try:
        guest.seams.write_runtime(guest.name, content)
    except errors.HypervisorError as err:
        return err
    return None


def _wait_for_arrival(guest: Guest) -> tuple[AtTarget, NodeState]:
    end = time.monotonic() + ARRIVAL
    while True:
        seen = look(guest)
        action = at_target(seen, True)
        if action is not AtTarget.WAIT or time.monotonic() > end:
            return action, seen
        time.sleep(_LOOK)


def _give_up(guest: Guest, text: str) -> None:
    seen = look(guest)
    if at_target(seen, False) is AtTarget.END:
        seen = _last_chance(guest)
    action = at_target(seen, False)
    if action is AtTarget.END:
        _end(guest)
    if action not in (AtTarget.END, AtTarget.CLEAN_UP):
        raise errors.HypervisorError(_explain(guest, action, seen))
    incoming_nics.undo(guest, text)
    guest.seams.clean_up(guest.name)


def _last_chance(guest: Guest) -> NodeState:
    """Keep a waiting QEMU from starting the guest, then see whether the guest is just arriving.

    From the stop on nothing can run here, so that ending QEMU never ends a guest that has run. One
    that arrives now stays paused: its source will hear of the abort, and may let it run there.
    """
    try:
        with monitor(guest) as qmp:
            control.stop(qmp)
            return _look_until_quiet(qmp)
    except errors.HypervisorError as err:
        logging.warning("QEMU of %s, which waits for its guest: %s", guest.name, err)
        return look(guest)


def _look_until_quiet(qmp: QmpConnection) -> NodeState:
    end = time.monotonic() + LAST_CHANCE
    while True:
        seen = ask(qmp)
        receiving = seen.run_state == "inmigrate" and seen.status == constants.HV_MIGRATION_ACTIVE
        if not receiving or time.monotonic() > end:
            return seen
        time.sleep(_LOOK)


def _end(guest: Guest) -> None:
    if guest.pid() is not None:
        instance_process.kill(guest.files)


def _explain(guest: Guest, action: AtTarget, seen: NodeState) -> str:
    process = guest.process()
    told = f"(migration '{seen.status}', guest '{seen.run_state}')" if seen.answers else ""
    reason = {
        AtTarget.LOST: "should be here now, but its QEMU is gone",
        AtTarget.WAIT: f"has not arrived completely within {ARRIVAL:g} s {told}: nothing was done",
        AtTarget.KEEP: f"is here {told}: its migration had completed when it was aborted. QEMU here"
        f" ({process}) was not ended. Make sure that it does not run on the source, end the stale"
        f" QEMU there, run 'gnt-instance migrate --cleanup {guest.name}', and continue it if it is"
        " paused",
        AtTarget.UNKNOWN: "was not touched: it cannot be told whether the guest is here"
        f" ({seen.error or 'its QEMU does not answer'}; {process}). When QEMU answers again, run"
        f" 'gnt-instance migrate --cleanup {guest.name}'",
    }[action]
    return f"Instance {guest.name} {reason}"
