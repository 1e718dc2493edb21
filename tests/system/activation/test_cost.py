"""What an enabled package costs a Python that never imports Ganeti."""

from __future__ import annotations

import json
import statistics

import pytest

from .conftest import Venv

pytestmark = pytest.mark.only_3_0

# What site does with the hook at each start, in a Python that has not done it yet.
READ_THE_HOOK = """
import sys, time, site
start = time.perf_counter()
site.addpackage({directory!r}, {name!r}, set())
hook = time.perf_counter() - start
assert hasattr(sys.meta_path[0], "ganeti_hv_kvm")
start = time.perf_counter()
import json
print(hook / (time.perf_counter() - start))
"""


def test_a_start_imports_nothing_more(venv: Venv) -> None:
    code = "import sys, json; print(json.dumps(sorted(sys.modules)))"
    before = json.loads(venv.run(venv.python, "-c", code).stdout)
    assert venv.command("enable").returncode == 0
    after = json.loads(venv.run(venv.python, "-c", code).stdout)
    assert after == before


def test_reading_the_hook_is_less_than_one_small_import(enabled: Venv) -> None:
    code = READ_THE_HOOK.format(directory=str(enabled.hook.parent), name=enabled.hook.name)
    ratios = []
    for _ in range(15):
        done = enabled.run(enabled.python, "-S", "-c", code)
        assert (done.returncode, done.stderr) == (0, "")
        ratios.append(float(done.stdout))
    assert statistics.median(ratios) < 1, ratios


def test_an_import_of_another_module_pays_a_comparison(enabled: Venv) -> None:
    code = """
import importlib.machinery, sys, time
trigger = next(finder for finder in sys.meta_path if hasattr(finder, "ganeti_hv_kvm"))
start = time.perf_counter()
for _ in range(1000):
    assert trigger.find_spec("json.decoder", None, None) is None
ours = time.perf_counter() - start
start = time.perf_counter()
for _ in range(1000):
    importlib.machinery.PathFinder.find_spec("no_such_module")
print(ours / (time.perf_counter() - start))
"""
    done = enabled.run(enabled.python, "-c", code)
    assert (done.returncode, done.stderr) == (0, "")
    # of what Python itself takes to look for a module
    assert float(done.stdout) < 0.5
