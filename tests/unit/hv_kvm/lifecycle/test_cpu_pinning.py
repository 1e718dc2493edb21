"""CPU masks, and the threads that they are put on."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.lifecycle import cpu_pinning

THREADED = """
import threading, time
for _ in range(3):
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
print(flush=True)
time.sleep(600)
"""


@pytest.fixture
def threaded():
    with subprocess.Popen([sys.executable, "-c", THREADED], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process
        process.kill()


def threads_of(pid: int) -> list[int]:
    return [int(thread) for thread in os.listdir(f"/proc/{pid}/task")]


@pytest.mark.parametrize("mask", [None, "", "all"])
def test_no_pinning(mask):
    assert cpu_pinning.parse(mask, 2) is None


def test_one_mask_for_the_guest():
    assert cpu_pinning.parse("0", 4) == [[0]]


def test_a_mask_for_each_vcpu():
    assert cpu_pinning.parse("0:all", 2) == [[0], [-1]]


@pytest.mark.parametrize(
    ("mask", "vcpus", "message"),
    [
        ("4095", 1, "4095"),
        ("0:0", 3, "2 parts"),
        ("0:", 2, "has a part that names no CPU"),
        (":", 2, "has a part that names no CPU"),
        (" ", 1, "cpu_mask"),
        ("a-b", 1, "cannot be read"),
    ],
)
def test_masks_that_this_node_cannot_fulfil(mask, vcpus, message):
    with pytest.raises(errors.HypervisorError, match=message):
        cpu_pinning.parse(mask, vcpus)


def test_one_mask_reaches_every_thread(threaded):
    assert len(threads_of(threaded.pid)) == 4
    cpu_pinning.apply([[0]], threaded.pid, {})
    assert {tuple(os.sched_getaffinity(t)) for t in threads_of(threaded.pid)} == {(0,)}


def test_masks_by_vcpu_reach_their_thread_alone(threaded):
    before = os.sched_getaffinity(threaded.pid)
    first, second, *others = sorted(set(threads_of(threaded.pid)) - {threaded.pid})
    cpu_pinning.apply([[0], [-1]], threaded.pid, {0: first, 1: second})
    assert os.sched_getaffinity(first) == {0}
    assert os.sched_getaffinity(second) == cpu_pinning.online_cpus() & before
    assert all(os.sched_getaffinity(thread) == before for thread in others)


def test_a_number_of_vcpus_that_does_not_fit():
    with pytest.raises(errors.HypervisorError, match="1 vCPU"):
        cpu_pinning.apply([[0], [0]], os.getpid(), {0: os.getpid()})


def test_a_thread_of_somebody_else_is_not_pinned(threaded):
    """Fault: QEMU names them, and this node's own daemon was pinned, which is no QEMU's to say."""
    own = max(threads_of(threaded.pid))
    before = os.sched_getaffinity(0), os.sched_getaffinity(own)
    for foreign in (os.getpid(), (1 << 31) - 1):
        with pytest.raises(errors.HypervisorError, match=f"{foreign} .*none of its own: nothing"):
            cpu_pinning.apply([[0], [0]], threaded.pid, {0: own, 1: foreign})
    assert (os.sched_getaffinity(0), os.sched_getaffinity(own)) == before


def test_a_process_that_is_gone():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(errors.HypervisorError, match=str(process.pid)):
        cpu_pinning.apply([[0]], process.pid, {})
