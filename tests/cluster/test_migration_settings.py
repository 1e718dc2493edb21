"""What the cluster's settings file says of migrations, on real nodes."""

from __future__ import annotations

import pytest

from .test_migration import migrate

_FILE = "/etc/ganeti/ganeti-hv-kvm.conf"


@pytest.fixture
def settings(cluster):
    """Writes the file on the master, and has Ganeti copy it."""

    def write(*lines: str) -> None:
        cluster.master.write(_FILE, "\n".join(["[hv-kvm]", *lines, ""]))
        cluster.gnt("gnt-cluster", "redist-conf")

    yield write
    for node in cluster.nodes:
        node.path(_FILE).unlink(missing_ok=True)


@pytest.mark.thorough
@pytest.mark.core
def test_encrypted_there_and_back(settings, guest, n1, n2, figure):
    """encrypted live migration there and back, no tick lost."""
    settings("migration_tls = require", "migration_channels = 2")
    guest.start_counting()
    for source, target in ((n1, n2), (n2, n1)):
        downtime = migrate(guest, source, target)
        figure(f"{source.short_name} to {target.short_name}: downtime {downtime:.2f} s")
        assert f"Instance {guest.name} goes encrypted" in source.log()
        assert f"Instance {guest.name} comes encrypted" in target.log()
        for node in (n1, n2):
            assert (
                node.shell("find /run/ganeti/kvm-hypervisor -name '*keys*' -o -name '*.tls'") == ""
            )
    guest.stop_counting()


def test_encrypted_or_not_at_all(settings, guest, n1, n2):
    """a node that requires encryption sends nothing to one that has it off; the guest runs on."""
    settings("migration_tls = require")
    n2.write(_FILE, "[hv-kvm]\nmigration_tls = off\n")
    said = guest.migrate(n2, check=False)
    assert "its source requires that it comes encrypted" in said
    assert guest.qemus() == ["n1"]
    assert guest.run_state(n1) == "running"
    n2.write(_FILE, "[hv-kvm]\nmigration_tls = prefer\n")
    guest.migrate(n2)
    assert guest.qemus() == ["n2"]


def test_given_up_in_time(settings, guest, cluster, n1, n2):
    """a migration that takes longer than allowed is given up; Ganeti's error says why."""
    settings("migration_cancel_after = 3")
    cluster.gnt("gnt-cluster", "modify", "-H", "kvm:migration_bandwidth=1")
    try:
        said = guest.migrate(n2, check=False)
    finally:
        cluster.gnt("gnt-cluster", "modify", "-H", "kvm:migration_bandwidth=32")
    assert "was cancelled: it was not done after" in said
    assert "(migration_cancel_after=3)" in said
    assert guest.qemus() == ["n1"]
    assert guest.run_state(n1) == "running"
