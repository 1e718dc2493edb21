"""Tags where Ganeti has a parameter for the same."""

from __future__ import annotations

from typing import Any

from ganeti_hv_kvm.hv_kvm import QmpConnection
from ganeti_hv_kvm.hv_kvm.command_line import iothreads
from harness import instance, paths

NAME = "tags1.example.com"


def test_threads_by_tag_are_the_parameter(hypervisor, tmp_path):
    """They belong to the guest from its start on, as the parameter does."""
    disks = [instance.disk(tmp_path)]
    wanted: dict[str, Any] = {"kvm_path": str(paths.QEMU_10), "disk_aio": "native"}
    made = instance.instance(NAME, disks=disks, vcpus=2, disk_cache="none", **wanted)
    made.tags = ["hv-kvm:iothreads:2"]
    hypervisor.StartInstance(made, disks, True)
    assert hypervisor._LoadKVMRuntime(made).up_hvp[iothreads.PARAMETER] == 2

    def threads() -> int:
        with QmpConnection(hypervisor._InstanceQmpMonitor(NAME)) as qmp:
            return len(qmp.execute_qmp("query-iothreads"))

    assert threads() == 2
    made.tags = []
    hypervisor.RebootInstance(made)
    assert threads() == 2
