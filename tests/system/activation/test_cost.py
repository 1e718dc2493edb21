"""What an enabled package costs a Python that never imports Ganeti."""

from __future__ import annotations

import json
import statistics

from .conftest import Venv

# What site does with the hook at each start, in a Python that has not done it yet.
READ_THE_HOOK = """
import sys, time, site
start = time.perf_counter()
site.addpackage({directory!r}, {name!r}, set())
print(time.perf_counter() - start)
assert hasattr(sys.meta_path[0], "ganeti_hv_kvm")
"""
LIMIT = 0.001


def test_a_start_imports_nothing_more(venv: Venv) -> None:
    code = "import sys, json; print(json.dumps(sorted(sys.modules)))"
    before = json.loads(venv.run(venv.python, "-c", code).stdout)
    assert venv.command("enable").returncode == 0
    after = json.loads(venv.run(venv.python, "-c", code).stdout)
    assert after == before


def test_reading_the_hook_takes_less_than_a_millisecond(enabled: Venv) -> None:
    code = READ_THE_HOOK.format(directory=str(enabled.hook.parent), name=enabled.hook.name)
    times = []
    for _ in range(15):
        done = enabled.run(enabled.python, "-S", "-c", code)
        assert (done.returncode, done.stderr) == (0, "")
        times.append(float(done.stdout))
    assert statistics.median(times) < LIMIT, times


def test_an_import_of_another_module_pays_a_comparison(enabled: Venv) -> None:
    code = """
import sys, time
trigger = next(finder for finder in sys.meta_path if hasattr(finder, "ganeti_hv_kvm"))
start = time.perf_counter()
for _ in range(1000):
    assert trigger.find_spec("json.decoder", None, None) is None
print((time.perf_counter() - start) / 1000)
"""
    done = enabled.run(enabled.python, "-c", code)
    assert (done.returncode, done.stderr) == (0, "")
    # A program with 300 imports still stays below the limit of a start.
    assert float(done.stdout) * 300 < LIMIT
