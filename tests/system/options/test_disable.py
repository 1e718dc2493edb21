"""``ganeti-hv-kvm disable`` names the guests that have what Ganeti's own module does not know."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import ganeti
import pytest

from harness import the_command
from system.options.test_guests import NAME, make

pytestmark = pytest.mark.only_3_0

_CODE = Path(ganeti.__file__).resolve().parents[1]


def call(hypervisor: Any, *words: str) -> subprocess.CompletedProcess[str]:
    run = type(hypervisor)._ROOT_DIR
    return the_command.call(run, "disable", *words, "--ganeti", str(_CODE))


def test_options_that_are_left_behind_are_named(hypervisor, tmp_path, configured):
    made, disks = make(tmp_path, "rng", "disk-iops:500")
    hypervisor.StartInstance(made, disks, True)
    configured(made)
    done = call(hypervisor)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert f"  {NAME}: disk-iops=500, rng=on" in lines
    assert lines[-1].startswith("Programs that run already keep what they have")
    assert json.loads(call(hypervisor, "--json").stdout)["options"] == {
        NAME: ["disk-iops=500", "rng=on"]
    }


def test_a_guest_without_options_is_not_named(hypervisor, tmp_path, configured):
    made, disks = make(tmp_path)
    hypervisor.StartInstance(made, disks, True)
    configured(made)
    assert NAME not in call(hypervisor).stdout


def test_where_the_tags_are_not_known_that_is_said(hypervisor, tmp_path):
    made, disks = make(tmp_path)
    hypervisor.StartInstance(made, disks, True)
    told = call(hypervisor).stdout
    assert f"  {NAME}: ? (" in told
    assert "only master candidates have the cluster's configuration" in told
