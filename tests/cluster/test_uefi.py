"""UEFI by tag, as an operator gives it: a disk with a name, a tag, a guest that boots by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.harness import systems
from cluster.harness.cluster import SHARED_STORAGE
from cluster.harness.instance import Instance
from harness import efi_disk, firmware_disk
from harness.uefi_by_tag import BOOT, TAG, booted, keep, kept

from .conftest import modules, put_right

pytestmark = [
    pytest.mark.timeout(3600),
    pytest.mark.skipif(modules() != ("ours", "ours"), reason="the original knows no such tag"),
    pytest.mark.skipif(systems.chosen().root != Path("/"), reason="its nodes have no OVMF"),
]


@pytest.fixture(scope="module")
def live(cluster):
    """The guest of the steps; each of them needs the one before."""
    guest = Instance(cluster, "i4.example.com")
    yield guest
    put_right(cluster)
    if guest.state():
        guest.gnt("remove", "--force", "--ignore-failures", "--shutdown-timeout=0")


def _disk(guest: Instance, number: int) -> Path:
    (image,) = guest.cluster.master.path(f"{SHARED_STORAGE}/{guest.name}").glob(f"*disk{number}")
    return image


def _is_kept(guest: Instance, node) -> None:
    with guest.console(node) as console:
        assert kept(console, "Ganeti") == "kept"


def _is_kept_after_boot(guest: Instance, node) -> None:
    with guest.console(node) as console:
        booted(console)
    _is_kept(guest, node)


def test_add(live, cluster, n1):
    """a blank disk named firmware, a tag: refused with a kernel, else seeded; the guest boots."""
    live.gnt(
        "add",
        "--disk-template=sharedfile",
        "--os-type=noop",
        "--disk=0:size=1G,name=firmware",
        "--disk=1:size=1G",
        f"--node={n1.name}",
        "--backend-parameters=minmem=256,maxmem=256,vcpus=1",
        f"--tags={TAG}",
        # from another card its firmware would try to start for minutes, before its shell
        "--hypervisor-parameters=kvm:nic_type=ne2k_isa",
        "--no-wait-for-sync",
        *cluster.no_checks,
        "--no-start",
    )
    efi_disk.write(_disk(live, 1), mebibytes=1024)
    said = live.gnt("start", check=False)
    assert "it boots a kernel of the node's" in said
    assert live.qemus() == []
    live.modify("-H", "kernel_path=")
    live.gnt("start")
    assert live.sees(timeout=BOOT).disks == {"vda": 1024}
    with live.console() as console:
        booted(console)
        keep(console, "Ganeti", "kept")
    assert firmware_disk.has_variable(_disk(live, 0), "Ganeti", b"kept")
    shown = n1.run("ganeti-hv-kvm", "list", "-o", "name,options").stdout
    assert "firmware=uefi" in shown


def test_hot_plug(live):
    """disks come and go beside it; it does not."""
    assert "Could not hotplug" not in live.hot_modify("--disk=add:size=1G")
    live.sees(lambda seen: len(seen.disks) == 2, BOOT)
    assert "Could not hotplug" not in live.hot_modify("--disk=2:remove")
    assert live.sees(lambda seen: len(seen.disks) == 1, BOOT).disks == {"vda": 1024}


def test_migrate(live, n1, n2):
    """live migration there and back, its variables with it."""
    for source, target in ((n1, n2), (n2, n1)):
        before = live.sees().seconds
        live.migrate(target)
        assert live.sees(node=target).seconds >= before, "it booted afresh"
        _is_kept(live, target)
        assert live.qemus() == [target.short_name]
        source.expect_no_traces(live.name)


def test_reboot(live, n1):
    """a soft reboot boots it anew, with its variables."""
    live.gnt("reboot", "--type=soft")
    _is_kept_after_boot(live, n1)


def test_failover(live, n2):
    """a failover with a wrong tag is refused, and the error helps; its firmware went along."""
    live.gnt_tags("add", "hv-kvm:firmwares:uefi")
    said = live.gnt("failover", "--force", f"--target-node={n2.name}", check=False)
    assert "there is no option 'firmwares'" in said
    assert live.qemus() == []
    live.gnt_tags("remove", "hv-kvm:firmwares:uefi")
    live.gnt("start")
    assert live.qemus() == ["n2"]
    assert firmware_disk.has_variable(_disk(live, 0), "Ganeti", b"kept")
