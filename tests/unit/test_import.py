"""What importing the hypervisor module brings along: each job of Ganeti's is a new process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import ganeti

import ganeti_hv_kvm

_HOME, _GANETI = (Path(package.__file__).parents[1] for package in (ganeti_hv_kvm, ganeti))

_PROGRAM = """
import json, sys
import ganeti_hv_kvm.activation
import ganeti.constants, ganeti.objects, ganeti.ssconf, ganeti.uidpool, ganeti.utils
before = set(sys.modules)
ganeti_hv_kvm.activation.install()
import ganeti.hypervisor.hv_kvm as imported
brought = sorted(set(sys.modules) - before)
assert imported.HeadRequest("http://web/").get_method() == "HEAD"
print(json.dumps([imported.__file__, brought, "urllib.request" in sys.modules]))
"""


def test_no_web_client_and_no_generated_classes() -> None:
    path = os.pathsep.join([str(_HOME), str(_GANETI)])
    ran = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    file, brought, asked_for = json.loads(ran.stdout)
    assert Path(file).is_relative_to(_HOME)
    # a web client takes longer to import than all of ours, and so would twenty data classes
    assert not {"urllib.request", "http.client", "ssl", "psutil", "dataclasses"} & set(brought)
    assert asked_for
