"""Runs in a process of its own, as a node daemon's: many guests' lives, and what is held then.

    cycles.py GENERATION WARM_UP CYCLES FOLDER

prints two lines of JSON: after the warm-up, and at the end. A process of pytest would not do: it
keeps logs and more for itself.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from harness import instance, node

NAME = "soak.example.com"
_PR_SET_THP_DISABLE = 41


def held(folder: Path) -> dict[str, Any]:
    """What this process holds, and its node: numbers, memory in bytes, and lists of names."""
    gc.collect()
    own = Path("/proc/self")
    children = (own / f"task/{os.getpid()}/children").read_text().split()
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "children": len(children),
        "memory": int((own / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
        "interfaces": os.listdir("/sys/class/net"),
        "files": [str(path) for path in folder.rglob("*")],
    }


def cycle(hypervisor: Any, disks: list[Any]) -> None:
    """One guest from its start to its end, with all that is done to it in between."""
    made = instance.instance(NAME, nics=[instance.nic()], disks=disks[:1])
    hypervisor.StartInstance(made, disks[:1], False)
    second = disks[1]
    hypervisor.HotAddDevice(made, "disk", second[0], second[1:], 1)
    hypervisor.HotAddDevice(made, "nic", instance.nic(1), None, 1)
    assert hypervisor.ListInstances() == [NAME]
    assert [told[0] for told in hypervisor.GetAllInstancesInfo()] == [NAME]
    assert hypervisor.GetInstanceInfo(NAME)[0] == NAME
    hypervisor.StopInstance(made, force=True)
    hypervisor.CleanupInstance(NAME)
    assert hypervisor.ListInstances() == []


def without_huge_pages() -> None:
    """Memory in use alone is to be seen: the kernel may make 2 MiB of what was some pages."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def main(generation: str, warm_up: str, cycles: str, folder: str) -> None:
    made = node.make_node(generation, node.OURS)
    try:
        hypervisor = made.hypervisor()
        disks = [instance.disk(Path(folder)), instance.disk(Path(folder), 1)]
        for count in (int(warm_up), int(cycles)):
            samples = []
            for number in range(count):
                # Each time: looking takes memory too, the first time.
                found = held(made.root)
                if number % 50 == 0:
                    samples.append(found["memory"])
                    memory = found["memory"] / 2**20
                    print(f"{number} cycles: {memory:.2f} MiB", file=sys.stderr, flush=True)
                cycle(hypervisor, disks)
            print(json.dumps({**held(made.root), "samples": samples}), flush=True)
    finally:
        made.remove()


if __name__ == "__main__":
    node.require_sandbox()
    without_huge_pages()
    main(*sys.argv[1:])
