"""What importing the hypervisor module costs a new process."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterable

from harness import node, paths

from .results import Series
from .worker import MODULES

# What every daemon that uses a hypervisor has imported by then, whichever module answers.
_PROGRAM = """
import json, os, sys, time
from harness import ganetis_own, paths
generation, module, preload = sys.argv[1:]
ganetis_own.be_not_enabled()
os.environ.update(GANETI_ROOTDIR="/tmp/node", GANETI_HOSTNAME="node")
sys.path.insert(0, str(paths.GANETI_CODE[generation]))
if module == "ours":
    import ganeti_hv_kvm.activation as activation
    activation.install()
def memory():
    with open("/proc/self/statm") as numbers:
        return int(numbers.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
if preload == "yes":
    import ganeti.constants, ganeti.errors, ganeti.objects, ganeti.serializer, ganeti.utils
    import ganeti.ssconf, ganeti.uidpool, ganeti.pathutils
before, start = memory(), time.perf_counter()
import ganeti.hypervisor.hv_kvm as imported
seconds = time.perf_counter() - start
assert ("ganeti_hv_kvm" in imported.__file__) == (module == "ours"), imported.__file__
if module == "original":
    ganetis_own.prove(paths.GANETI_CODE[generation])
print(json.dumps([seconds, memory() - before]))
"""


def measure(subjects: Iterable[str], rounds: int) -> Series:
    """Series with "seconds" and "memory" (MiB) of the module alone, "whole" with all of Ganeti."""
    series = Series()
    order = list(subjects)
    for subject in order:
        _once(subject, preload=False)
    for _ in range(rounds):
        random.shuffle(order)
        for subject in order:
            seconds, memory = _once(subject, preload=True)
            whole, _ = _once(subject, preload=False)
            series.add(subject, "seconds", seconds)
            series.add(subject, "memory", memory)
            series.add(subject, "whole", whole)
    return series


def _once(subject: str, preload: bool) -> tuple[float, float]:
    generation, module = MODULES[subject]
    wanted = "ours" if module == node.OURS else "original"
    argv = [sys.executable, "-c", _PROGRAM, generation, wanted, "yes" if preload else "no"]
    # as installed: compiled, wherever the sources lie and whatever this shell says
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(paths.WORK / "bench/bytecode")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    output = subprocess.run(argv, check=True, stdout=subprocess.PIPE, env=environment).stdout
    seconds, memory = json.loads(output)
    return seconds, memory
