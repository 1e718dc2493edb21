"""A guest that counts moves from one node to another while it runs."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from harness import leftovers, migrants, two_nodes

from .timeline import Timeline

_NAME = "traveller.example.com"
_BOOT_TIMEOUT = 90.0
_TICKS_AFTERWARDS = 10


def show(timeline: Timeline, generation: str, module: str) -> None:
    """The steps of a live migration, on two Ganeti nodes in this sandbox.

    Raises what went wrong; the guest and both nodes are gone either way.
    """
    kind = (generation, module)
    guest = {"name": _NAME, "memory": 128, "nics": 1, **migrants.ONE_PASS, **migrants.TICKS}
    with contextlib.ExitStack() as stack:
        with timeline.step("make two more nodes") as say:
            pair = stack.enter_context(two_nodes.pair(kind, kind))
            say.append(f"root folders {pair.source.root} and {pair.target.root}")
        before = leftovers.take(pair.source.run_folder)
        try:
            _move(timeline, pair, guest)
        finally:
            for remote in (pair.source, pair.target):
                migrants.end(remote, guest)
        left = leftovers.take(pair.source.run_folder).added_since(before)
        if left + pair.target.files():
            raise RuntimeError(f"left behind: {left + pair.target.files()}")


def _move(timeline: Timeline, pair: two_nodes.Pair, guest: two_nodes.Wanted) -> None:
    with timeline.step("StartInstance on the first, wait until it counts") as say:
        pair.source.call("StartInstance", guest)
        with migrants.serial(pair.source, guest) as serial:
            say.append(f"serial console: guest: tick {migrants.next_tick(serial, _BOOT_TIMEOUT)}")
    with timeline.step("MigrationInfo, AcceptInstance"):
        info = pair.accept(guest)
    with migrants.Ticks(pair.source, guest) as here, migrants.Ticks(pair.target, guest) as there:
        with timeline.step("MigrateInstance, live") as say:
            pair.source.call("MigrateInstance", guest, pair.address, True)
            _follow(pair, guest, say)
        with timeline.step("FinalizeMigrationSource, FinalizeMigrationDst") as say:
            pair.finish(guest, info)
            say.append("first node: {}, second node: {}".format(*pair.run_states(_NAME)))
        with timeline.step("listen to its console on the second node") as say:
            migrants.wait_until(lambda: len(there.seen) >= _TICKS_AFTERWARDS, 30, "the guest")
            say.append(_counted(here, there))
            say.append(f"it stood still for {migrants.stood_still(here, there) * 1000:.0f} ms")


def _follow(pair: two_nodes.Pair, guest: two_nodes.Wanted, say: list[str]) -> None:
    began = time.monotonic()
    while True:
        answer = pair.source.call("GetMigrationStatus", guest)
        say.append(f"{time.monotonic() - began:5.2f} s {_progress(answer)}")
        if answer["status"] != "active":
            return
        time.sleep(0.2)


def _progress(answer: dict[str, Any]) -> str:
    sent, total = answer["transferred_ram"], answer["total_ram"]
    if not total:
        return str(answer["status"])
    mib = 1 << 20
    return f"{answer['status']}, {sent // mib} MiB sent of a guest of {total // mib} MiB"


def _counted(here: migrants.Ticks, there: migrants.Ticks) -> str:
    last, first = here.seen[-1][1], there.seen[0][1]
    if not last < first:
        raise RuntimeError(f"the guest counted to {last}, and went on from {first}")
    return f"it counted to {last} on the first node, and goes on from {first} on the second"
