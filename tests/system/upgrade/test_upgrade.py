"""Guests that Ganeti 3.0 started on QEMU 7.2 live on under 3.1 and QEMU 10, by content.

UPGRADE=all takes the whole cover; else its first rows do.
"""

from __future__ import annotations

import contextlib
import itertools
import os

import pytest

from harness import migrants

from . import cover, walk

_SHORT = 3
ROWS = cover.rows()[: None if os.environ.get("UPGRADE") == "all" else _SHORT]
_names = itertools.count()


def _label(row: cover.Row) -> str:
    unusual = (f"{name}={label}" for name, label in row.items() if label != cover.first(name))
    return ",".join(unusual)


@pytest.mark.parametrize("row", ROWS, ids=_label)
@pytest.mark.usefixtures("bridge")
def test_the_way_from_debian_12_to_13(row):
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(walk.open_folder())
        first, old, new, between = walk.make_nodes(stack, row["born"])
        guest = walk.Walk(row, f"u{next(_names)}.example.com", folder)
        for remote in (old, new, between):
            stack.callback(migrants.end, remote, guest.wanted(remote))
        first.call("StartInstance", guest.wanted(first))
        guest.wait_for_boot(old)
        guest.counts_on(old)
        before = guest.places(old)

        walk.Move(old, new).migrate(guest.wanted(new))
        assert new.call("ListInstances") == [guest.wanted(new)["name"]]
        guest.counts_on(new)
        assert guest.places(new) == before

        # a PCI bus tells nothing without ACPI
        if row["disk_type"] == "scsi-hd" or (row["disk_type"], row["acpi"]) == (
            "paravirtual",
            "yes",
        ):
            _plug(guest, new)
        new.call("BalloonInstanceMemory", guest.wanted(new), 144)
        name = guest.wanted(new)["name"]
        migrants.wait_until(
            lambda: new.qemu(name, "query-balloon")["actual"] == 144 << 20, 30, "the balloon"
        )
        _reboot(guest, new)
        assert guest.places(new) == before

        walk.Move(new, between).migrate(guest.wanted(between))
        guest.counts_on(between)
        assert guest.places(between) == before

        _shut_down(guest, between)
        assert guest.on_the_host() == guest.counts
        new.call("StartInstance", guest.wanted(new))
        guest.wait_for_boot(new)
        guest.counts_on(new)


def _plug(guest: walk.Walk, on: walk.Node) -> None:
    """A disk comes, grows and goes, and its place is given to another."""
    number = guest.disks
    guest.make_disk(number)
    on.call("AddDisk", guest.wanted(on), number)
    guest.sees_one_more(on, there=True)
    guest.counts_on(on)
    on.call("GrowDisk", guest.wanted(on), number, 24)
    on.call("RemoveDisk", guest.wanted(on), number)
    guest.sees_one_more(on, there=False)
    assert guest.on_the_host() == guest.counts
    del guest.counts[f"disk-{number}"]
    (guest.folder / f"disk{number}.img").unlink()
    guest.counts_on(on)


def _reboot(guest: walk.Walk, on: walk.Node) -> None:
    on.call("RebootInstance", guest.wanted(on))
    guest.wait_for_boot(on)
    guest.counts_on(on)


def _shut_down(guest: walk.Walk, on: walk.Node) -> None:
    wanted = guest.wanted(on)
    if guest.row["acpi"] == "yes":
        on.call("AskToStop", wanted)
        migrants.wait_until(lambda: on.run_state(wanted["name"]) == "gone", 60, "its shutdown")
    on.call("StopInstance", wanted)
    on.call("CleanupInstance", wanted)
