"""A guest that changes its memory faster than it is sent: more downtime, or it stays here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from harness import migrants, node, tiny_guest, two_nodes
from harness.each_qemu import each_qemu
from system.migration.conftest import make, qemu

__all__ = ["make", "qemu"]

#: In 30 ms this sends less than the guest changes meanwhile.
CRAWL = {"migration_bandwidth": 30, "migration_downtime": 30}
FAST = 1 << 30

EACH_QEMU = each_qemu(old=pytest.mark.long)


@pytest.fixture(scope="module")
def nodes(bridge: str) -> Iterator[two_nodes.Pair]:
    with two_nodes.pair(("next", node.OURS), ("next", node.OURS)) as made:
        yield made


@pytest.fixture
def restless(nodes, make, tmp_path):
    """Makes a guest that no migration of ours ends with."""

    def start(**parameters: Any) -> two_nodes.Wanted:
        tiny_guest.write_restless_disk(tmp_path / "disk0.img")
        wanted = {"memory": 16, "kernel_path": "", "disk_folder": str(tmp_path), **CRAWL}
        return make(nodes, **wanted, **parameters)

    return start


def limit_of(nodes: two_nodes.Pair, guest: two_nodes.Wanted) -> int:
    return int(nodes.source.qemu(guest["name"], "query-migrate-parameters")["downtime-limit"])


@EACH_QEMU
def test_the_limit_rises_until_the_guest_can_leave(nodes, restless):
    guest = restless(migration_downtime_max=35)
    name = guest["name"]
    note = nodes.source.socket(name, "migstate")
    info = nodes.begin(guest)
    assert json.loads(note.read_text()) == {"downtime": 30, "last_step": 0}

    def status() -> Any:
        return nodes.source.call("GetMigrationStatus", guest)

    migrants.wait_until(lambda: status().get("migration_downtime") == 33, 120, "the first step")
    assert limit_of(nodes, guest) == 33
    # the next one is not due
    assert status().get("migration_downtime") is None
    assert limit_of(nodes, guest) == 33

    noted = json.loads(note.read_text())
    note.write_text(json.dumps({**noted, "last_step": noted["last_step"] - 31}))
    # a tenth would be 36
    assert status()["migration_downtime"] == 35
    assert limit_of(nodes, guest) == 35

    nodes.source.qemu(name, "migrate-set-parameters", **{"max-bandwidth": FAST})
    nodes.wait(guest)
    nodes.finish(guest, info)
    assert nodes.run_states(name) == ("gone", "running")
    assert not note.exists()


@EACH_QEMU
def test_one_that_has_sent_too_much_is_cancelled_and_the_guest_runs_on(nodes, restless):
    guest = restless(migration_cancel_threshold=150)
    name = guest["name"]
    info = nodes.begin(guest)
    with pytest.raises(two_nodes.RemoteError) as failure:
        nodes.wait(guest, timeout=120)
    assert failure.value.is_hypervisor_error
    assert "migration_cancel_threshold=150" in str(failure.value)
    # before Ganeti aborts it
    assert nodes.source.run_state(name) == "running"
    assert nodes.source.qemu(name, "query-migrate")["status"] == "cancelled"

    assert nodes.abort(guest, info) == ("", "")
    assert nodes.run_states(name) == ("running", "gone")
    # what was cancelled can be tried again
    nodes.source.qemu(name, "migrate-set-parameters", **{"max-bandwidth": FAST})
    info = nodes.begin({**guest, "migration_bandwidth": 1000, "migration_downtime": 2000})
    nodes.wait(guest)
    nodes.finish(guest, info)
    assert nodes.run_states(name) == ("gone", "running")
