"""CPU masks on a real guest: the kernel tells which CPUs each of QEMU's threads may use."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm import QmpConnection
from ganeti_hv_kvm.hv_kvm.lifecycle import cpu_pinning
from harness import instance

pytestmark = pytest.mark.rather_3_0

NAME = "web1.example.com"
ALL = set(cpu_pinning.online_cpus())


def start(hypervisor, cpu_mask: str, vcpus: int = 2) -> int:
    made = instance.instance(NAME, vcpus=vcpus, cpu_mask=cpu_mask)
    hypervisor.StartInstance(made, [], True)
    return hypervisor.GetInstanceInfo(NAME)[1]


def allowed(pid: int) -> dict[int, set[int]]:
    """CPUs by thread."""
    threads = map(int, os.listdir(f"/proc/{pid}/task"))
    return {thread: os.sched_getaffinity(thread) for thread in threads}


def vcpu_threads(hypervisor) -> list[int]:
    with QmpConnection(hypervisor._InstanceQmpMonitor(NAME)) as qmp:
        cpus = qmp.execute_qmp("query-cpus-fast")
    return [cpu["thread-id"] for cpu in sorted(cpus, key=lambda cpu: cpu["cpu-index"])]


@pytest.fixture(autouse=True)
def two_cpus():
    if len(ALL) < 2:
        pytest.skip("this machine has one CPU: every mask is the same")


def test_a_mask_for_the_whole_guest_reaches_each_thread(hypervisor):
    pid = start(hypervisor, "0")
    found = allowed(pid)
    assert set(vcpu_threads(hypervisor)) <= set(found)
    assert all(cpus == {0} for cpus in found.values()), found


def test_masks_for_each_vcpu_reach_these_alone(hypervisor):
    pid = start(hypervisor, "0:1:all", vcpus=3)
    found = allowed(pid)
    first, second, third = vcpu_threads(hypervisor)
    assert (found[first], found[second], found[third]) == ({0}, {1}, ALL)
    assert found[pid] == ALL


def test_no_mask(hypervisor):
    found = allowed(start(hypervisor, "all"))
    assert all(cpus == ALL for cpus in found.values()), found


@pytest.mark.parametrize("cpu_mask", ["0:1:0", "4000"])
def test_a_mask_that_does_not_fit_starts_nothing(hypervisor, nothing_left, cpu_mask):
    with pytest.raises(errors.HypervisorError, match="cpu_mask"):
        start(hypervisor, cpu_mask)
    nothing_left()


def test_psutil_is_not_needed():
    program = textwrap.dedent("""
        import sys
        sys.modules["psutil"] = None
        from ganeti_hv_kvm import hv_kvm
        assert "psutil" not in [name for name, module in sys.modules.items() if module]
    """)
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
