"""Ganeti's development version, for what it alone asks of a hypervisor module."""

from __future__ import annotations

import os

if os.environ.get("GANETI_UNDER_TEST") != "dev":
    collect_ignore_glob = ["*.py"]
