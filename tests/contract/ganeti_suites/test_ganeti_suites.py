"""Ganeti's own hv_kvm suites, unmodified as Debian packages them, pass with our module.

The same runs on the original are the control: they show that a pass here is the suite's own.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness import node, paths

_RUNNER = Path(__file__).with_name("run_suite.py")
_UNITTEST = "ganeti.hypervisor.hv_kvm_unittest.py"
_SUITES = {
    "3.0 unittest": ("3.0", "unittest", f"test/py/{_UNITTEST}", 56),
    "3.1 unittest": ("3.1", "unittest", f"test/py/legacy/{_UNITTEST}", 57),
    "3.1 monitor units": ("3.1", "pytest", "test/py/unit/hypervisor/hv_kvm/test_monitor.py", 4),
}


@pytest.mark.parametrize("module", [node.ORIGINAL, node.OURS])
@pytest.mark.parametrize("suite", _SUITES)
def test_every_test_of_the_suite_passes(suite: str, module: str) -> None:
    generation, kind, file, expected = _SUITES[suite]
    path = paths.GANETI_SUITE[generation] / file
    command = [sys.executable, str(_RUNNER), generation, module, kind, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    output = done.stdout + done.stderr

    assert done.returncode == 0, output
    assert _passed(kind, output) == expected, output
    _assert_all_from(module, json.loads(done.stdout.splitlines()[-1]))


def _passed(kind: str, output: str) -> int:
    if kind == "pytest":
        found = re.search(r"^(\d+) passed in ", output, re.MULTILINE)
    else:
        found = re.search(r"^Ran (\d+) tests? in [^\n]*\n\nOK$", output, re.MULTILINE)
    return int(found.group(1)) if found else -1


def _assert_all_from(module: str, origins: dict[str, str]) -> None:
    ours = paths.PROJECT / "python/ganeti_hv_kvm"
    assert "ganeti.hypervisor.hv_kvm" in origins
    for name, file in origins.items():
        assert Path(file).is_relative_to(ours) == (module == node.OURS), f"{name} is {file}"
