"""Every test: the helpers are importable, and no Ganeti path is the machine's own.

GANETI_UNDER_TEST (3.0 by default, 3.1 or dev) chooses the Ganeti that tests in this process import.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from harness import ganetis_own, node, sample, upstream

GANETI_UNDER_TEST = os.environ.get("GANETI_UNDER_TEST", "3.0")
_ROOT = node.new_root()

# Before Ganeti is imported: its module makes its folders when an object is made.
os.environ.update(GANETI_ROOTDIR=str(_ROOT), GANETI_HOSTNAME=node.HOST_NAME)
for _folder in ("var/run/ganeti", "var/lib/ganeti", "var/log/ganeti/kvm", "etc/ganeti"):
    (_ROOT / _folder).mkdir(parents=True)
# Nor is it of importance whether this machine's Python has ours enabled.
ganetis_own.be_not_enabled()
_CODE = upstream.code(GANETI_UNDER_TEST, _ROOT.parent)
if "ganeti" not in sys.modules:
    sys.path.insert(0, str(_CODE))


# A shell that runs this in the background has SIGINT ignored, and so would every test of Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves what ``sample`` does not choose to `make test-thorough`, by the marker ``one_in``."""
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("one_in"):
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for test, of_it in cases.items():
        marker = of_it[0].get_closest_marker("one_in")
        assert marker is not None
        kept = sample.chosen(test, len(of_it), marker.args[0])
        for number, item in enumerate(of_it):
            if number not in kept:
                item.add_marker(pytest.mark.thorough)


def pytest_report_header() -> str:
    return f"Ganeti under test: {_CODE}"


def pytest_unconfigure() -> None:
    shutil.rmtree(_ROOT.parent, ignore_errors=True)
