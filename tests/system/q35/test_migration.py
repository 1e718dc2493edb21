"""A q35 arrives with its devices at the same places, and goes on taking others."""

from __future__ import annotations

import pytest

from harness import migrants
from harness.migrants import ONE_PASS, TICKS

pytestmark = pytest.mark.only_3_1


def behind_ports(node, name: str) -> dict[str, str]:
    (bus,) = node.qemu(name, "query-pci")
    return {
        port["qdev_id"]: device["qdev_id"]
        for port in bus["devices"]
        for device in port.get("pci_bridge", {}).get("devices", ())
    }


def test_there_and_back_with_a_nic_that_came_later(nodes, make, tmp_path):
    guest = make(nodes, nics=1, disk_folder=str(tmp_path), machine_version="q35",
                 **ONE_PASS, **TICKS)  # fmt: skip
    name = guest["name"]
    with migrants.serial(nodes.source, guest) as here:
        migrants.next_tick(here)
    nodes.source.call("AddNic", guest, 1)
    places = behind_ports(nodes.source, name)
    assert set(places) == {"rp3", "rp4", "rp11"}
    for pair in (nodes, nodes.reversed()):
        pair.migrate(guest)
        assert pair.run_states(name) == ("gone", "running")
        assert behind_ports(pair.target, name) == places
        with migrants.serial(pair.target, guest) as there:
            migrants.next_tick(there, 20)
    nodes.source.call("AddNic", guest, 2)
    nodes.source.call("RemoveNic", guest, 1)
    assert set(behind_ports(nodes.source, name)) == {"rp3", "rp5", "rp11"}
