"""Every test: the helpers are importable, and no Ganeti path is the machine's own.

GANETI_UNDER_TEST (3.0 by default, 3.1 or dev) chooses the Ganeti that tests in this process import.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from harness import ganetis_own, node, upstream

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


def pytest_report_header() -> str:
    return f"Ganeti under test: {_CODE}"


def pytest_unconfigure() -> None:
    shutil.rmtree(_ROOT.parent, ignore_errors=True)
