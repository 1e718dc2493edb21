"""Our table of parameters is the original's: names, what is required, what may be given."""

from __future__ import annotations

from typing import Any

import pytest

from contract import both_modules

VALUES: list[Any] = [
    *("", "default", "none", "user", "pool", "native", "threads", "io_uring", "writeback"),
    *("disk", "cdrom", "network", "floppy", "tape", "paravirtual", "ide", "scsi", "scsi-hd"),
    *("e1000", "rtl8139", "virtio", "lsi", "virtio-scsi-pci", "megasas", "ignore", "unmap"),
    *("mouse", "tablet", "enabled", "disabled", "reboot", "exit", "live", "non-live", "auto"),
    *("always", "never", "glz", "off", "quic", "filter", "all", "no-cpu", "0-3", "0,1:2:all"),
    *("/", "/usr/bin/env", "relative/path", "/a/../b", "http://192.0.2.1/cd.iso", "ftp://x/y"),
]
NUMBERS = [-1, 0, 1, 2, 4, 5, 6, 8, 9, 12, 31, 32, 33, 65534, 65535, 65536]
NODE_VALUES = ["/", "/usr/bin/env", "/nowhere"]


@pytest.mark.parametrize("generation", both_modules.GENERATIONS)
def test_names_and_requirements(generation: str) -> None:
    ((_, original, ours),) = both_modules.compare(generation, [("parameters", [])])
    assert ours["result"] == original["result"]
    assert len(ours["result"]) == 65


@pytest.mark.parametrize("generation", both_modules.GENERATIONS)
def test_values(generation: str) -> None:
    defaults = both_modules.facts(generation)["defaults"]
    asked: list[Any] = []
    for name, default in defaults.items():
        # Ganeti has made sure of the type before.
        values = NUMBERS if isinstance(default, int) else VALUES
        asked += [("syntax", [name, value]) for value in [default, *values]]
        asked += [("on_node", [name, value]) for value in NODE_VALUES if isinstance(default, str)]
    compared = both_modules.compare(generation, asked)
    assert [row for row in compared if row[1] != row[2]] == []
    assert {ours["result"] for _, _, ours in compared} == {True, False}
