"""Our consoles are the original's, field by field."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from contract import both_modules

SERIAL, VNC, SPICE = [True, False], ["", "0.0.0.0", "/run/vnc"], ["", "192.0.2.1"]
PORTS = [0, 5900, 5901, 11000]
NAMES = ("serial_console", "vnc_bind_address", "spice_bind")
CASES: list[Any] = [
    ("console", [dict(zip(NAMES, values, strict=True)), port, 22])
    for values in itertools.product(SERIAL, VNC, SPICE)
    for port in PORTS
]


@pytest.mark.parametrize("generation", both_modules.GENERATIONS)
def test_same_fields(generation: str) -> None:
    kinds = set()
    for request, original, ours in both_modules.compare(generation, CASES):
        kinds.add(ours["result"]["kind"])
        # The message's words are ours.
        for answer in (original, ours):
            answer["result"].pop("message", None)
        assert ours == original, request
    assert kinds == {"ssh", "vnc", "spice", "msg"}


@pytest.mark.parametrize("generation", both_modules.GENERATIONS)
def test_intended_difference_no_port(generation: str) -> None:
    """VNC without a port of the cluster's pool: the original compares None with a number."""
    hvparams = {"serial_console": False, "vnc_bind_address": "::", "spice_bind": ""}
    ((_, original, ours),) = both_modules.compare(generation, [("console", [hvparams, None, 22])])
    assert original["error"] == "TypeError"
    assert ours["result"]["kind"] == "msg"
