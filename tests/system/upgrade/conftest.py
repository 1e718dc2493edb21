"""What only Debian 13's Ganeti is the target of."""

from __future__ import annotations

import os

if os.environ.get("GANETI_UNDER_TEST", "3.0") != "3.1":
    collect_ignore_glob = ["test_*.py"]
