"""``apply``: what it says of tags that are right, wrong and not known."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import ganeti
import pytest
from ganeti import pathutils

from ganeti_hv_kvm import QmpConnection
from harness import golden
from harness.the_command import call
from system.options.test_guests import NAME, limits, make

pytestmark = [pytest.mark.qemu, pytest.mark.rather_3_1]
CODE = str(Path(ganeti.__file__).parents[1])
TAGS = ("rng", "disk-iops:300", "disk1-bps:20M", "watchdog:reset")


@pytest.fixture
def run(hypervisor) -> Path:
    return Path(type(hypervisor)._ROOT_DIR)


class Said:
    """Calls of ``apply``, one after the other, and what came of them."""

    def __init__(self, run: Path) -> None:
        self.text = ""
        self._apply = partial(call, run, "apply", NAME, "--ganeti", CODE)

    def add(self, *words: str) -> str:
        done = self._apply(*words)
        self.text += golden.transcript(done, "apply", NAME, *words) + "\n"
        return done.stderr


def test_what_apply_says(hypervisor, tmp_path, configured, run):
    """The tags are changed while the guest runs; what is advised is done."""
    made, disks = make(tmp_path, "rng", "disk-iops:500", disks=2)
    hypervisor.StartInstance(made, disks, True)
    said = Said(run)
    made.tags = [f"hv-kvm:{tag}" for tag in TAGS]
    configured(made)
    said.add("--dry-run")
    assert [iops for iops, _, _ in limits(hypervisor)] == [500, 500]
    said.add()
    assert [iops for iops, _, _ in limits(hypervisor)] == [300, 300]
    made.tags += ["hv-kvm:rgn", "hv-kvm:disk-bps:many"]
    configured(made)
    said.add("-o", "name,in_force")
    made.tags = []
    configured(made)
    hypervisor.RebootInstance(made)
    said.add()
    golden.check("apply.txt", said.text, run)


def test_what_apply_says_where_it_cannot_tell(hypervisor, tmp_path, configured, run):
    made, disks = make(tmp_path)
    hypervisor.StartInstance(made, disks, True)
    said = Said(run)
    assert f"--tags, as 'gnt-instance list -o tags --no-headers {NAME}'" in said.add()
    said.add("--tags", "web,hv-kvm:disk-iops:7")
    assert limits(hypervisor) == [(7, 0, made.uuid)]
    Path(pathutils.CLUSTER_CONF_FILE).write_text('{"instances": 7}', encoding="utf-8")
    try:
        said.add()
    finally:
        Path(pathutils.CLUSTER_CONF_FILE).unlink()
    with QmpConnection(hypervisor._InstanceQmpMonitor(NAME)):
        said.add("--tags", "hv-kvm:disk-iops:8", "--timeout", "8")
    assert limits(hypervisor) == [(7, 0, made.uuid)]
    hypervisor.StopInstance(made, force=True)
    hypervisor.CleanupInstance(NAME)
    said.add()
    configuration = pathutils.CLUSTER_CONF_FILE
    golden.check("apply-cannot-tell.txt", said.text.replace(configuration, "CONFIG"), run)
