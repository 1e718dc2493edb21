"""Settings for the whole cluster, and options of one guest by tags, as an operator gives them."""

from __future__ import annotations

import re

import pytest

from .conftest import modules

pytestmark = [
    pytest.mark.core,
    pytest.mark.skipif(modules() != ("ours", "ours"), reason="the original knows neither"),
]
_FILE = "/etc/ganeti/ganeti-hv-kvm.conf"


def _limits(guest, node):
    disks = [one["inserted"] for one in guest.qemu(node, "query-block") if "inserted" in one]
    return [(disk["iops"], disk["bps"]) for disk in disks]


@pytest.mark.long
def test_settings_file(cluster, n1, n2):
    """the settings file is copied to all nodes, and compared."""
    n1.write(_FILE, "[hv-kvm]\nqmp_timeout = 10\n")
    try:
        assert any(_FILE in line for line in cluster.verify()), "one node alone has it"
        cluster.gnt("gnt-cluster", "redist-conf")
        assert n2.path(_FILE).read_text() == "[hv-kvm]\nqmp_timeout = 10\n"
        assert cluster.verify() == []
        n1.write(_FILE, "[hv-kvm]\nqmp_timeout = 5s\n")
        cluster.gnt("gnt-cluster", "redist-conf")
        found = cluster.verify()
        assert len([line for line in found if "line 2: qmp_timeout is '5s'" in line]) == 2, found
    finally:
        for node in (n1, n2):
            node.run("rm", "-f", _FILE)
    assert cluster.verify() == []


@pytest.mark.thorough
def test_wrong_tag(made, n1):
    """a wrong tag refuses a start, and says which it is."""
    made.add(n1, "--no-start")
    made.gnt_tags("add", "hv-kvm:rgn")
    assert "there is no option 'rgn'" in made.gnt("start", check=False)
    assert made.qemus() == []
    made.gnt_tags("remove", "hv-kvm:rgn")


def test_tags(down, n1):
    """limits, random numbers and a watchdog by tag."""
    down.gnt_tags("add", "hv-kvm:disk-iops:500", "hv-kvm:rng", "hv-kvm:watchdog:reset")
    down.gnt("start")
    assert _limits(down, n1) == [(500, 0)]
    (pci,) = down.qemu(n1, "query-pci")
    devices = {(one["id"]["vendor"], one["id"]["device"]) for one in pci["devices"]}
    assert (0x8086, 0x25AB) in devices
    assert devices & {(0x1AF4, 0x1005), (0x1AF4, 0x1044)}


def test_apply(guest, n1):
    """changed limits of the running guest; what else would change."""
    guest.gnt_tags("add", "hv-kvm:disk-bps:100M", "hv-kvm:panic:pause")
    said = n1.run("ganeti-hv-kvm", "apply", guest.name.partition(".")[0]).stdout
    assert _limits(guest, n1) == [(500, 100 << 20)]
    assert re.search(r"^panic +pause +- +after the next shutdown and start$", said, re.MULTILINE)


@pytest.mark.long
def test_tags_migrate(guest, n1, n2):
    """limits on the other node, at once."""
    guest.migrate(n2)
    assert _limits(guest, n2) == [(500, 100 << 20)]
    guest.migrate(n1)
