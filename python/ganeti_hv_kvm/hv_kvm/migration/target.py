"""The node that a guest comes to: QEMU waits for it here, and takes it over."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from ganeti import constants, errors, utils

from ganeti_hv_kvm.hv_kvm import instance_process, qemu_binary
from ganeti_hv_kvm.hv_kvm.command_line import START_PAUSED
from ganeti_hv_kvm.hv_kvm.kvm_runtime import KVMRuntime
from ganeti_hv_kvm.hv_kvm.launch import Launch
from ganeti_hv_kvm.hv_kvm.undo import Undo

from . import born, capabilities, departure, incoming_nics, info
from .decision import AtTarget, at_target
from .view import MigratingGuest, View, ask

#: Seconds that QEMU gets to load the end of the guest's state.
ARRIVAL = 60.0
#: Seconds that an aborted migration gets which may just be completing.
LAST_CHANCE = 0.5
_LOOK = 0.05


#: (instance name, content of its runtime file)
WriteRuntime = Callable[[str, str], None]


def accept(
    guest: MigratingGuest,
    text: str,
    target: str,
    write_runtime: WriteRuntime,
    clean_up: Callable[[str], None],
) -> None:
    """Start a QEMU that waits for the guest.

    Its runtime file and those of its NICs are written now: should nobody say that the guest has
    arrived, it can be managed all the same.

    Args:
        text: what ``info.make`` gave on the source.
        target: address of this node to listen on.
        write_runtime: writes the runtime file.
        clean_up: removes the files of the instance with this name, which is down.

    Raises:
        errors.HypervisorError: what failed; nothing is left of the attempt.
    """
    instance = guest.instance
    runtime = KVMRuntime.from_serialized(info.runtime_of(text))
    command, *rest = runtime
    facts = qemu_binary.probe(command[0])
    born.check(guest.name, runtime, facts)
    if info.was_running(instance, text):
        # a guest that was started paused, and runs now, is to run on as soon as it arrives
        command = [word for word in command if word != START_PAUSED]
    hooks = guest.hooks._replace(
        configure_nic=incoming_nics.before_arrival(guest.hooks.configure_nic)
    )
    address = (target, instance.hvparams[constants.HV_MIGRATION_PORT])
    launch = Launch(
        instance,
        KVMRuntime([command, *rest]),
        facts,
        guest.files,
        hooks,
        incoming=address,
    )
    launch.run(lambda: write_runtime(guest.name, info.runtime_of(text)))
    with Undo(f"acceptance of {guest.name}") as undo:
        undo.add("files of the instance", lambda: clean_up(guest.name))
        undo.add("NICs", lambda: incoming_nics.undo(guest, text))
        undo.add("QEMU", lambda: _end(guest))
        with guest.monitor() as qmp:
            born.compare(guest, qmp, info.extra_of(text))
            capabilities.set_all(instance, qmp)
    # Ganeti sends it here from another node, so it knows where the guest was
    departure.forget(guest.name)


def finalize(
    guest: MigratingGuest,
    text: str,
    success: bool,
    write_runtime: WriteRuntime,
    clean_up: Callable[[str], None],
) -> None:
    """Settle the end of a migration on the node that the guest was to come to.

    Args:
        text: what ``info.make`` gave on the source.
        success: Ganeti has seen the migration complete; else it is aborted.
        write_runtime: writes the runtime file.
        clean_up: removes the files of the instance with this name, which is down.

    Raises:
        errors.HypervisorError: what was left as it was, why, and what a person has to do.
    """
    if success:
        _take_over(guest, text, write_runtime)
    else:
        _give_up(guest, text, clean_up)


def _take_over(guest: MigratingGuest, text: str, write_runtime: WriteRuntime) -> None:
    action, view = _wait_for_arrival(guest)
    if action not in (AtTarget.DONE, AtTarget.RESUME):
        raise errors.HypervisorError(_explain(guest, action, view))
    # the guest is here: what cannot be written must not leave it paused
    problem = _keep_runtime(guest, text, write_runtime)
    incoming_nics.after_arrival(guest, text)
    with guest.monitor() as qmp:
        if action is AtTarget.RESUME and info.was_running(guest.instance, text):
            qmp.ContinueGuestEmulation()
        capabilities.clear_all(guest.instance, qmp)
    if problem:
        raise errors.HypervisorError(
            f"Instance {guest.name} is here, and was taken over, but what it was started with is"
            f" not kept: {problem}. Make room, run 'gnt-instance migrate --cleanup {guest.name}';"
            f" until the guest is shut down and started again (gnt-instance reboot --type=full),"
            " it cannot be migrated, and nothing can be hot-plugged"
        )


def _keep_runtime(
    guest: MigratingGuest, text: str, write_runtime: WriteRuntime
) -> errors.HypervisorError | None:
    """Write the runtime file, if it is not that of ``accept``: Ganeti's own module writes none."""
    content = info.runtime_of(text)
    try:
        if utils.ReadFile(guest.files.runtime) == content:
            return None
    except (OSError, UnicodeDecodeError) as err:
        logging.info("The runtime file of %s is written now: %s", guest.name, err)
    try:
        write_runtime(guest.name, content)
    except errors.HypervisorError as err:
        return err
    return None


def _wait_for_arrival(guest: MigratingGuest) -> tuple[AtTarget, View]:
    end = time.monotonic() + ARRIVAL
    while True:
        view = guest.look()
        action = at_target(view, True)
        if action is not AtTarget.WAIT or time.monotonic() > end:
            return action, view
        time.sleep(_LOOK)


def _give_up(guest: MigratingGuest, text: str, clean_up: Callable[[str], None]) -> None:
    view = guest.look()
    if at_target(view, False) is AtTarget.END:
        view = _last_chance(guest)
    action = at_target(view, False)
    if action is AtTarget.END:
        _end(guest)
    if action not in (AtTarget.END, AtTarget.CLEAN_UP):
        raise errors.HypervisorError(_explain(guest, action, view))
    incoming_nics.undo(guest, text)
    clean_up(guest.name)


def _last_chance(guest: MigratingGuest) -> View:
    """Keep a waiting QEMU from starting the guest, then see whether the guest is just arriving.

    From the stop on nothing can run here, so that ending QEMU never ends a guest that has run. One
    that arrives now stays paused: its source will hear of the abort, and may let it run there.
    """
    try:
        with guest.monitor() as qmp:
            qmp.StopGuestEmulation()
            return _look_until_quiet(qmp)
    except errors.HypervisorError as err:
        logging.warning("QEMU of %s, which waits for its guest: %s", guest.name, err)
        return guest.look()


def _look_until_quiet(qmp: Any) -> View:
    end = time.monotonic() + LAST_CHANCE
    while True:
        view = ask(qmp)
        receiving = view.run_state == "inmigrate" and view.status == constants.HV_MIGRATION_ACTIVE
        if not receiving or time.monotonic() > end:
            return view
        time.sleep(_LOOK)


def _end(guest: MigratingGuest) -> None:
    if guest.pid() is not None:
        instance_process.kill(guest.files)


def _explain(guest: MigratingGuest, action: AtTarget, view: View) -> str:
    process = guest.process()
    seen = f"(migration '{view.status}', guest '{view.run_state}')" if view.answers else ""
    reason = {
        AtTarget.LOST: "should be here now, but its QEMU is gone",
        AtTarget.WAIT: f"has not arrived completely within {ARRIVAL:g} s {seen}: nothing was done",
        AtTarget.KEEP: f"is here {seen}: its migration had completed when it was aborted. QEMU here"
        f" ({process}) was not ended. Make sure that it does not run on the source, end the stale"
        f" QEMU there, run 'gnt-instance migrate --cleanup {guest.name}', and continue it if it is"
        " paused",
        AtTarget.UNKNOWN: "was not touched: it cannot be told whether the guest is here"
        f" ({view.error or 'its QEMU does not answer'}; {process}). When QEMU answers again, run"
        f" 'gnt-instance migrate --cleanup {guest.name}'",
    }[action]
    return f"Instance {guest.name} {reason}"
