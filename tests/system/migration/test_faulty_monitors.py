"""A fault at each command that either QEMU is given: the guest runs once, a retry succeeds."""

from __future__ import annotations

import contextlib

import pytest

from harness import migrants, proxy
from harness.migrants import ONE_PASS, SLOW
from harness.two_nodes import RemoteError

pytestmark = [pytest.mark.migration, pytest.mark.one_in(2)]

SAYS_NO = proxy.refuse("not today")
FAULTS = [
    pytest.param(proxy.COMMAND, SAYS_NO, id="refused"),
    pytest.param(proxy.REPLY, proxy.cut, id="cut after"),
]
#: The guest is where QEMU, not Ganeti, says that it is.
ONCE = (
    ("running", "gone"),
    ("gone", "running"),
    ("postmigrate", "running"),
    ("postmigrate", "paused"),
)


def try_migration(nodes, guest, *, live: bool) -> bool:
    """As Ganeti's master does it, with the abort; True if it says that all went well."""
    info, refusal = nodes.try_accept(guest)
    if not refusal:
        try:
            nodes.source.call("MigrateInstance", guest, nodes.address, live)
            nodes.wait(guest)
        except RemoteError:
            nodes.abort(guest, info, live=live)
            return False
        with contextlib.suppress(RemoteError):
            nodes.finish(guest, info, live=live)
            return True
    nodes.abort(guest, info, live=live)
    return False


def check_once_and_retry(nodes, guest) -> None:
    states = nodes.run_states(guest["name"])
    assert states in ONCE
    if states == ("running", "gone"):
        assert nodes.target.files() == []
        nodes.migrate({**guest, **ONE_PASS})
    elif states == ("postmigrate", "paused"):  # said to be there
        nodes.target.qemu(guest["name"], "cont")
    assert nodes.target.run_state(guest["name"]) == "running"


@pytest.mark.parametrize(("kind", "fault"), FAULTS)
@pytest.mark.parametrize(
    ("command", "live"),
    [
        ("migrate-set-parameters", True),
        ("migrate-set-capabilities", True),
        ("stop", False),
        ("migrate", True),
        ("migrate", False),
        ("query-migrate", True),
        ("query-status", True),
    ],
)
def test_the_source(nodes, make, command, live, kind, fault):
    guest = make(nodes, migration_caps="events", **ONE_PASS)
    with proxy.Proxy(nodes.source.socket(guest["name"], "qmp")) as monitor:
        planned = monitor.fail(kind, command, fault)
        try_migration(nodes, guest, live=live)
        assert planned.hits == 1
        monitor.heal()
        check_once_and_retry(nodes, guest)


@pytest.mark.parametrize(("kind", "fault"), FAULTS)
@pytest.mark.parametrize("command", ["query-migrate", "stop", "migrate_cancel", "cont"])
def test_the_source_while_it_aborts(nodes, make, command, kind, fault):
    guest = make(nodes, **SLOW)
    info = nodes.begin(guest, live=command != "cont")
    migrants.hold(nodes, guest)
    with proxy.Proxy(nodes.source.socket(guest["name"], "qmp")) as monitor:
        planned = monitor.fail(kind, command, fault)
        # the target does not hear of it yet
        with contextlib.suppress(RemoteError):
            nodes.source.call("FinalizeMigrationSource", guest, False, command != "cont")
        assert planned.hits == 1 or command == "cont"
        monitor.heal()
        assert nodes.run_states(guest["name"]) in (
            ("paused", "inmigrate"),
            ("paused", "gone"),
            ("running", "inmigrate"),
            ("running", "gone"),
        )
        assert nodes.abort(guest, info, live=command != "cont") == ("", "")
        check_once_and_retry(nodes, guest)


@pytest.mark.parametrize(("kind", "fault"), FAULTS)
@pytest.mark.parametrize(
    ("command", "live"),
    [
        ("migrate-set-capabilities", True),
        ("query-migrate", True),
        ("query-status", True),
        ("cont", False),
    ],
)
def test_the_target_takes_over(nodes, make, command, live, kind, fault):
    guest = make(nodes, migration_caps="events", **ONE_PASS)
    info = nodes.begin(guest, live=live)
    with proxy.Proxy(nodes.target.socket(guest["name"], "qmp")) as monitor:
        nodes.wait(guest)
        planned = monitor.fail(kind, command, fault)
        nodes.source.call("FinalizeMigrationSource", guest, True, live)
        with contextlib.suppress(RemoteError):
            nodes.target.call("FinalizeMigrationDst", guest, info, True)
        assert planned.hits == 1
        nodes.target.call("FinalizeMigrationDst", guest, info, True)
    assert nodes.run_states(guest["name"]) == ("gone", "running")


@pytest.mark.parametrize(("kind", "fault"), FAULTS)
@pytest.mark.parametrize("command", ["query-migrate", "query-status", "stop"])
def test_the_target_gives_up(nodes, make, command, kind, fault):
    guest = make(nodes, **SLOW)
    info = nodes.begin(guest)
    migrants.hold(nodes, guest)
    with proxy.Proxy(nodes.target.socket(guest["name"], "qmp")) as monitor:
        planned = monitor.fail(kind, command, fault)
        nodes.abort(guest, info)
        assert planned.hits == 1
        assert nodes.source.run_state(guest["name"]) == "running"
    nodes.target.call("FinalizeMigrationDst", guest, info, False)
    check_once_and_retry(nodes, guest)
