"""A Ganeti with all names that are known to be coming upstream."""

from __future__ import annotations

import os

if os.environ.get("GANETI_UNDER_TEST") != "next":
    collect_ignore_glob = ["*.py"]
