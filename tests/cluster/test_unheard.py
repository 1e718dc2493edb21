"""The end of a migration that a node does not hear, with and without QEMU's lock of the disks."""

from __future__ import annotations

import contextlib
import signal

import pytest

from cluster.harness.cluster import BANDWIDTH
from cluster.harness.instance import Instance
from harness import migrants, paths

from .conftest import put_right
from .test_faults import begin_migration

_UNLOCKED = "/usr/local/bin/qemu-without-lock"
# As with DRBD or RBD: nothing but Ganeti keeps two QEMUs from one disk.
_WRAPPER = """#!/bin/bash
words=()
for word; do
  case $before in
    -drive | -blockdev)
      case $word in
        driver=*file.driver=*) word+=,file.locking=off ;;
        driver=file,*) word+=,locking=off ;;
        file=*) word+=,file.locking=off ;;
      esac ;;
  esac
  words+=("$word")
  before=$word
done
exec %s "${words[@]}"
"""
_MAC = "aa:00:00:10:20:80"


@pytest.fixture(params=["with QEMU's lock", "without a lock"])
def lone(request, cluster, n1, n2):
    """A guest on the first node, whose migrations take for ever."""
    put_right(cluster)
    parameters = ""
    if request.param == "without a lock":
        for node in cluster.nodes:
            node.write(_UNLOCKED, _WRAPPER % paths.QEMU, 0o755)
        parameters = f"kvm_path={_UNLOCKED}"
    guest = Instance(cluster, "i9.example.com")
    guest.add(n1, parameters=parameters)
    guest.wait_for_boot()
    if parameters:
        assert "locking=off" in " ".join(n1.command_line(guest.pid))
    cluster.set_migration_bandwidth(1)
    yield guest
    cluster.recover()
    for node in cluster.nodes:
        for pid in node.processes(rf"qemu-system\S* .*-name {guest.name}[ ,]"):
            with contextlib.suppress(ProcessLookupError):
                node.signal(pid, signal.SIGKILL)
    cluster.set_migration_bandwidth(BANDWIDTH)
    guest.gnt("shutdown", "--timeout=0", "--force", check=False)
    guest.remove()


def complete(guest, source):
    """It is sent at full speed from now on."""
    guest.qemu(source, "migrate-set-parameters", **{"max-bandwidth": BANDWIDTH << 20})


def miss_the_end(guest, n1, n2):
    """The target's node daemon is down for some seconds while the migration ends."""
    running = begin_migration(guest, n1, n2)
    n2.daemon("stop")
    complete(guest, n1)
    status, output = running.wait()
    n2.daemon("start")
    assert status != 0, output
    assert "Could not finalize" in output
    migrants.wait_until(lambda: guest.qemus() == ["n2"], 30, "the end of QEMU on the source")
    assert guest.run_state(n2) == "running"
    assert guest.field("pnode") == n1.name
    assert guest.field("status") == "ERROR_down"


def start_again(guest, n1):
    """The watcher does, and then an operator; what the latter reads."""
    n1.run("ganeti-watcher", "--no-wait-children", check=False)
    n1.run("ganeti-watcher", "--no-wait-children", check=False)
    said = guest.gnt("start", check=False)
    assert guest.qemus() == ["n2"], "it runs twice"
    return said


def test_target_unheard(lone, n1, n2):
    """target's node daemon down at the end: the guest is not started a second time."""
    miss_the_end(lone, n1, n2)
    said = start_again(lone, n1)
    assert n2.name in said
    assert "migrate --cleanup" in said
    # as the error says
    lone.gnt("migrate", "--force", "--cleanup")
    assert lone.field("pnode") == n2.name
    assert lone.field("status") == "running"
    assert lone.qemus() == ["n2"]
    # all of it can be managed
    lone.hot_modify(f"--net=add:mac={_MAC}")
    lone.sees(lambda seen: _MAC in seen.nics.values())
    lone.gnt("reboot", "--type=soft", "--shutdown-timeout=60")
    lone.wait_for_boot()
    # and back, in the way that starts it where it was refused
    lone.gnt("failover", "--force", f"--target-node={n1.name}")
    assert lone.qemus() == ["n1"]
    lone.gnt("shutdown", "--timeout=0", "--force")
    lone.gnt("start")
    lone.wait_for_boot()
    assert lone.qemus() == ["n1"]


def test_back_by_migration(lone, n1, n2):
    """the same; the guest migrates back after the clean-up, and is started where it was refused."""
    miss_the_end(lone, n1, n2)
    start_again(lone, n1)
    lone.gnt("migrate", "--force", "--cleanup")
    lone.cluster.set_migration_bandwidth(BANDWIDTH)
    lone.migrate(n1)
    assert lone.qemus() == ["n1"]
    lone.gnt("reboot", "--type=hard", "--shutdown-timeout=60")
    lone.wait_for_boot()
    assert lone.qemus() == ["n1"]


def test_operator_knows_better(lone, n1, n2):
    """the same; the guest has died on the target, and an operator says so."""
    miss_the_end(lone, n1, n2)
    n2.signal(n2.qemu(lone.name), signal.SIGKILL)
    migrants.wait_until(lambda: lone.qemus() == [], 20, "the end of the guest")
    assert "forget-departure" in lone.gnt("start", check=False)
    n1.run("ganeti-hv-kvm", "forget-departure", lone.name)
    lone.gnt("start")
    lone.wait_for_boot()
    assert lone.qemus() == ["n1"]
    n2.shell(f"find /run/ganeti/kvm-hypervisor -mindepth 2 -path '*/{lone.name}*' -delete")


def test_source_silent_in_abort(lone, n1, n2):
    """non-live migration, its source stopped during the abort and continued: the guest goes on."""
    running = lone.cluster.start(
        "gnt-instance",
        "migrate",
        "--force",
        "--non-live",
        f"--target-node={n2.name}",
        lone.name,
    )
    migrants.wait_until(lambda: n2.qemu(lone.name), 60, "QEMU on the target")
    lone.hold_migration(n1)
    pid = n1.qemu(lone.name)
    n1.signal(pid, signal.SIGSTOP)
    status, output = running.wait()
    assert status != 0, output
    assert lone.qemus() == ["n1"]
    n1.signal(pid, signal.SIGCONT)
    migrants.wait_until(
        lambda: lone.qemu(n1, "query-migrate")["status"] == "failed", 30, "the end of the migration"
    )
    # the advice of the error, and nothing else
    lone.gnt("migrate", "--force", "--cleanup")
    assert lone.run_state(n1) == "running"
    lone.sees()
    lone.cluster.set_migration_bandwidth(BANDWIDTH)
    lone.migrate(n2)
    assert lone.qemus() == ["n2"]
    assert lone.run_state(n2) == "running"
