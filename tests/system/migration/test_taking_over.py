"""Ours on one end and Ganeti's own module on the other, both ways."""

from __future__ import annotations

import json

import pytest

from harness import migrants, node, two_nodes
from harness.migrants import ONE_PASS, SLOW

pytestmark = [pytest.mark.migration, pytest.mark.rather_3_1, pytest.mark.one_in(2)]

WAYS = [(node.OURS, node.ORIGINAL), (node.ORIGINAL, node.OURS)]


@pytest.fixture(scope="module", params=WAYS, ids=lambda way: f"{way[0]} to {way[1]}")
def mixed(request, generation, bridge):
    source, target = request.param
    with two_nodes.pair((generation, source), (generation, target)) as made:
        yield made


def test_live_there_and_back(mixed, make):
    guest = make(mixed, nics=1, **ONE_PASS)
    for pair in (mixed, mixed.reversed()):
        pair.migrate(guest)
        assert pair.run_states(guest["name"]) == ("gone", "running")
        assert pair.source.files() == []


def test_non_live(mixed, make):
    guest = make(mixed, **ONE_PASS)
    mixed.migrate(guest, live=False)
    # Ganeti's own leaves it paused, as it always does
    there = "running" if mixed.target.module == node.OURS else "paused"
    assert mixed.run_states(guest["name"]) == ("gone", there)


@pytest.mark.parametrize("live", [True, False])
def test_an_abort(mixed, make, live):
    guest = make(mixed, **SLOW)
    info = mixed.begin(guest, live=live)
    migrants.hold(mixed, guest)
    assert mixed.abort(guest, info, live=live) == ("", "")
    assert mixed.run_states(guest["name"]) == ("running", "gone")


def test_what_an_earlier_migration_left_is_not_believed(mixed, make):
    guest = make(mixed, **ONE_PASS)
    mixed.source.qemu(guest["name"], "stop")
    mixed.migrate(guest)
    runtime = json.loads((mixed.target.run_folder / f"conf/{guest['name']}.runtime").read_text())
    # Ganeti's own keeps what ours said: that it was paused
    assert len(runtime) == (5 if mixed.target.module == node.ORIGINAL else 4)
    mixed.target.qemu(guest["name"], "cont")
    back = mixed.reversed()
    back.migrate(guest, live=False)
    there = "running" if back.target.module == node.OURS else "paused"
    assert back.run_states(guest["name"]) == ("gone", there)
