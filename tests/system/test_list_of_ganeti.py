"""The command and a guest that the hypervisor has started, as Ganeti does."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path

import pytest

from harness import instance, node, the_command
from harness.guest import KERNEL_ARGS

pytestmark = pytest.mark.qemu
NAME = "web1.example.com"
_AMPLE = 60.0


@pytest.fixture
def command(hypervisor):
    """Call the command for the hypervisor's node, without any Ganeti to import."""

    return partial(the_command.call, type(hypervisor)._ROOT_DIR)


def test_what_it_is_and_uses(hypervisor, command, tmp_path):
    disks = [instance.disk(tmp_path)]
    wanted = instance.instance(
        NAME, disks=disks, nics=[instance.nic()], kernel_args=f"{KERNEL_ARGS} guest.ticks"
    )
    hypervisor.StartInstance(wanted, disks, False)
    told = hypervisor.GetInstanceInfo(NAME)
    done = command("list", "web1", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = json.loads(done.stdout)["guests"]
    assert (row["name"], row["pid"], row["memory"], row["vcpus"]) == told[:4]
    assert (row["state"], row["monitor"], row["reason"]) == ("running", "answered", None)
    limit = time.monotonic() + _AMPLE
    while True:  # its BIOS reads the disk, or its kernel does
        samples = json.loads(command("metrics", "--json").stdout)["metrics"]
        by_name = {one["name"]: one for one in samples}
        read = by_name["ganeti_kvm_domain_block_stats_read_requests_total"]
        if read["value"] > 0:
            break
        assert time.monotonic() < limit, samples
        time.sleep(0.2)
    nic = by_name["ganeti_kvm_domain_interface_stats_transmit_bytes_total"]
    (tap,) = (Path(type(hypervisor)._ROOT_DIR) / "nic" / NAME).iterdir()
    labels = {"source_bridge": node.BRIDGE, "target_device": tap.read_text().strip()}
    assert nic["labels"] == {"domain": NAME, **labels}
    # by QEMU's name of the drive, or by that of the device
    disk = read["labels"]["target_device"]
    assert (read["labels"]["domain"], disk.isprintable(), "/" in disk) == (NAME, True, False)
    paused = command("pause", NAME)
    assert paused.returncode == 0
    assert hypervisor.GetInstanceInfo(NAME)[:2] == told[:2]
    assert json.loads(command("list", "--json").stdout)["guests"][0]["state"] == "paused"
    assert command("cont", NAME).returncode == 0


def test_one_that_was_not_let_run(hypervisor, command):
    hypervisor.StartInstance(instance.instance(NAME), [], True)
    done = command("list", "--json")
    (row,) = json.loads(done.stdout)["guests"]
    assert (row["state"], done.returncode) == ("prelaunch", 0)
    hypervisor.StopInstance(None, force=True, name=NAME)
    (row,) = json.loads(command("list", "--json").stdout)["guests"]
    assert (row["pid"], row["monitor"]) == (None, "gone")
    hypervisor.CleanupInstance(NAME)
    assert json.loads(command("list", "--json").stdout)["guests"] == []
