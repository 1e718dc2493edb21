"""Faults of migration; each scenario makes two nodes with the module under test."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness import migrants, node, two_nodes
from oracle import guests
from oracle.place import Place, expect, fault_in

_GUEST = {"name": guests.NAME, "memory": 96}


@contextmanager
def _guest_on_first(place: Place, **parameters: Any) -> Iterator[tuple[two_nodes.Pair, Any]]:
    """Two nodes like ``place``, and a running guest on the first."""
    node.make_bridge()
    kind = (place.node.generation, place.node.module)
    wanted = {**_GUEST, **parameters}
    with two_nodes.pair(kind, kind) as pair:
        pair.source.call("StartInstance", wanted)
        try:
            yield pair, wanted
        finally:
            for remote in (pair.source, pair.target):
                migrants.end(remote, wanted)


def _failure(pair: two_nodes.Pair, wanted: Any) -> str:
    """What Ganeti's master, and so the user, learns of a migration that does not complete."""
    try:
        answers = pair.wait(wanted)
    except two_nodes.RemoteError as error:
        return str(error)
    return "" if answers[-1]["status"] == "completed" else "hypervisor returned failure"


@fault_in("3.0", "3.1")
def a_guest_runs_after_a_non_live_migration(place: Place) -> None:
    with _guest_on_first(place, **migrants.ONE_PASS) as (pair, wanted):
        pair.migrate(wanted, live=False)
        state = pair.target.run_state(guests.NAME)
    expect(state == "running", f"the guest is '{state}' on the target")


@fault_in("3.0", "3.1")
def a_late_answer_is_waited_for(place: Place) -> None:
    with _guest_on_first(place, **migrants.ONE_PASS) as (pair, wanted):
        pair.begin(wanted)
        pid = pair.source.pid(guests.NAME)
        with migrants.stopped(pid), migrants.later(7, os.kill, pid, signal.SIGCONT):
            failure = _failure(pair, wanted)
    expect(not failure, f"the migration was given up: {failure}")


@fault_in("3.0", "3.1")
def an_abort_after_completion_leaves_the_guest_running_once(place: Place) -> None:
    with _guest_on_first(place, **migrants.ONE_PASS) as (pair, wanted):
        info = pair.begin(wanted)
        pair.wait(wanted)
        pair.abort(wanted, info)
        states = pair.run_states(guests.NAME)
    expect(states == ("postmigrate", "running"), f"the stale and the true guest are {states}")


@fault_in("3.0", "3.1")
def a_source_that_has_handed_over_is_never_resumed(place: Place) -> None:
    with _guest_on_first(place, **migrants.ONE_PASS) as (pair, wanted):
        pair.begin(wanted)
        pair.wait(wanted)
        # the request to the target was lost
        with _ignored():
            pair.source.call("FinalizeMigrationSource", wanted, False, True)
        states = pair.run_states(guests.NAME)
    expect(states != ("running", "running"), "the guest runs twice")


@fault_in("3.0", "3.1")
def a_state_that_ganeti_has_no_word_for_is_no_failure(place: Place) -> None:
    caps = {"migration_caps": "pause-before-switchover"}
    with _guest_on_first(place, **migrants.ONE_PASS, **caps) as (pair, wanted):
        pair.begin(wanted)
        migrants.wait_for_status(pair.source, guests.NAME, "pre-switchover")
        failure = _failure(pair, wanted)
    expect(not failure, f"the migration was given up: {failure}")


@fault_in("3.0", "3.1")
def the_reason_of_a_failure_reaches_the_user(place: Place) -> None:
    with _guest_on_first(place) as (pair, wanted):
        pair.source.call("MigrateInstance", wanted, "127.0.0.1", True)  # nobody listens
        failure = _failure(pair, wanted)
    expect("refused" in failure, f"all that is said: {failure}")


@fault_in("3.0", "3.1")
def an_aborted_migration_is_cancelled_in_qemu(place: Place) -> None:
    with _guest_on_first(place, **migrants.SLOW) as (pair, wanted):
        pair.begin(wanted)
        migrants.hold(pair, wanted)
        pair.source.call("FinalizeMigrationSource", wanted, False, True)
        status = pair.source.qemu(guests.NAME, "query-migrate")["status"]
    expect(status == "cancelled", f"QEMU's migration is '{status}'")


@contextmanager
def _ignored() -> Iterator[None]:
    try:
        yield
    except two_nodes.RemoteError as error:
        expect(error.is_hypervisor_error, f"{error.kinds[0]}: {error}")
