"""A Ganeti with a hypervisor parameter that this package has never heard of."""

from __future__ import annotations

import os

if os.environ.get("GANETI_UNDER_TEST") != "unknown":
    collect_ignore_glob = ["*.py"]
