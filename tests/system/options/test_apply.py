"""``ganeti-hv-kvm apply``: changed tags for a guest that runs, and what it says of the rest."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import ganeti
import pytest
from ganeti import pathutils

from harness import the_command
from system.options.test_guests import NAME, limits, make

pytestmark = pytest.mark.only_3_0

_CODE = Path(ganeti.__file__).resolve().parents[1]


def call(hypervisor: Any, *words: str) -> subprocess.CompletedProcess[str]:
    run = type(hypervisor)._ROOT_DIR
    return the_command.call(run, "apply", NAME, *words, "--ganeti", str(_CODE))


def rows(done: subprocess.CompletedProcess[str]) -> dict[str, tuple[str, str, str]]:
    told = json.loads(done.stdout)
    return {one["name"]: (one["wanted"], one["in_force"], one["change"]) for one in told["options"]}


def test_limits_at_once_and_the_rest_later(hypervisor, tmp_path, configured):
    made, disks = make(tmp_path, "rng", "disk-iops:500", disks=2)
    hypervisor.StartInstance(made, disks, True)
    tags = ["disk-bps:1M", "disk1-iops:20", "watchdog:reset", "balloon:off", "numa:0", "mtu:1400"]
    made.tags = ["web", *(f"hv-kvm:{tag}" for tag in tags)]
    configured(made)

    dry = call(hypervisor, "--dry-run", "--json")
    assert (dry.returncode, dry.stderr) == (0, "")
    cold, start = "after the next shutdown and start", "after the next start, reboot or migration"
    now, nic = "at once, by 'ganeti-hv-kvm apply'", f"for a NIC that is added, and {cold}"
    common = {
        "rng": ("-", "on", cold),
        "watchdog": ("reset", "-", cold),
        "balloon": ("off", "on", cold),
        "numa": ("0", "-", start),
        "mtu": ("1400", "-", nic),
    }
    assert rows(dry) == {
        "disk-iops": ("-", "500", now),
        "disk-bps": (str(1 << 20), "-", now),
        "disk1-iops": ("20", "500", now),
        **common,
    }
    assert limits(hypervisor) == [(500, 0, made.uuid)] * 2

    listed = the_command.call(
        type(hypervisor)._ROOT_DIR,
        *("list", "-o", "name,options", "--json", "--timeout", "60"),
        env={**os.environ, "PATH": f"{_CODE}:{os.environ['PATH']}"},
    )
    (row,) = json.loads(listed.stdout)["guests"]
    assert row["name"] == NAME
    assert {"disk-iops=500->none", "disk1-iops=500->20", "rng=on->none"} <= set(row["options"])

    done = call(hypervisor, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    own = f"{made.uuid}-{disks[1][0].hvinfo['id']}"
    assert limits(hypervisor) == [(0, 1 << 20, made.uuid), (20, 1 << 20, own)]
    assert rows(done) == {
        "disk-bps": (str(1 << 20), str(1 << 20), ""),
        "disk1-iops": ("20", "20", ""),
        **common,
    }
    hypervisor.RebootInstance(made)
    assert rows(call(hypervisor, "--json"))["numa"] == ("0", "0", "")
    hypervisor.StopInstance(made, force=True)
    hypervisor.CleanupInstance(NAME)
    hypervisor.StartInstance(made, disks, True)
    later = rows(call(hypervisor, "--json", "--dry-run"))
    assert {change for _, _, change in later.values()} == {""}
    assert later["watchdog"][1] == "reset"
    assert later["balloon"][1] == "off"
    assert later["mtu"][1] == "1400"


def test_none_are_taken_away(hypervisor, tmp_path, configured):
    made, disks = make(tmp_path, "disk-iops:500")
    hypervisor.StartInstance(made, disks, True)
    made.tags = []
    configured(made)
    done = call(hypervisor)
    assert done.stdout == f"{NAME} has no options, and no tags that ask for some.\n", done.stderr
    assert limits(hypervisor) == [(0, 0, "")]


def test_a_node_without_the_configuration(hypervisor, tmp_path):
    made, disks = make(tmp_path)
    hypervisor.StartInstance(made, disks, True)
    done = call(hypervisor)
    assert done.returncode == 3
    assert "only master candidates have the cluster's configuration" in done.stderr
    assert f"'gnt-instance list -o tags --no-headers {NAME}'" in done.stderr

    done = call(hypervisor, "--tags", "hv-kvm:disk-iops:7,web,hv-kvm:disk-bps:no")
    assert done.returncode == 1
    assert limits(hypervisor) == [(7, 0, made.uuid)]
    assert "tag 'hv-kvm:disk-bps:no': disk-bps may be" in done.stderr
    assert done.stdout.split() == [
        *("Option", "Wanted", "InForce", "Change"),
        *("disk-iops", "7", "7", "-"),
    ]


def test_a_broken_configuration(hypervisor, tmp_path, configured):
    made, disks = make(tmp_path, "disk-iops:500")
    hypervisor.StartInstance(made, disks, True)
    configured(made)
    Path(pathutils.CLUSTER_CONF_FILE).write_text('{"instances": 7}')
    done = call(hypervisor)
    assert done.returncode == 3
    assert "config.data cannot be read" in done.stderr
    assert limits(hypervisor) == [(500, 0, made.uuid)]


def test_a_guest_that_is_down(hypervisor, tmp_path):
    assert "no guest 'tags1.example.com' on this node" in call(hypervisor).stderr
