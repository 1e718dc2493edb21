"""Which commands look, and which are held back without --write."""

from __future__ import annotations

import json

import pytest

from ganeti_hv_kvm.cli.qmp import reading
from harness import paths

SCHEMA = json.loads((paths.PROJECT / "tests/data/qmp/7.2/query-qmp-schema.json").read_text())
COMMANDS = [one["name"] for one in SCHEMA["return"] if one["meta-type"] == "command"]


@pytest.mark.parametrize(
    "command",
    [
        "stop",
        "cont",
        "quit",
        "device_del",
        "qom-set",
        "screendump",
        "dump-guest-memory",
        "eject",
        "memsave",
        "add-fd",
        "getfd",
        "migrate",
        "inject-nmi",
        "object-add",
        "system_reset",
        "trace-event-set-state",
        "x-blockdev-change",
        "netdev_del",
        "set_password",
        "nbd-server-stop",
    ],
)
def test_these_change_something(command):
    assert command in COMMANDS
    assert not reading.only_looks(command, {})


def test_these_look():
    """All that QEMU 7.2 has that is taken to look: each was read in its reference."""
    looking = [command for command in COMMANDS if reading.only_looks(command, {})]
    assert [one for one in looking if not one.startswith(("query-", "x-query-"))] == [
        one
        for one in COMMANDS
        if one
        in (
            "device-list-properties",
            "qom-get",
            "qom-list",
            "qom-list-properties",
            "qom-list-types",
            "trace-event-get-state",
        )
    ]


def test_what_is_new_changes_something():
    assert not reading.only_looks("guest-wipe", {})


@pytest.mark.parametrize(
    ("line", "looks"),
    [
        ("info block", True),
        ("  info  status", True),
        ("help", True),
        ("p $pc", True),
        ("print/x 3", True),
        ("xp /4wx 0", False),
        ("i /h 0x602", False),  # reading a port may change the device
        ("stop", False),
        ("information", False),
        ("", False),
        ("change vnc password x", False),
    ],
)
def test_the_human_monitor(line, looks):
    assert reading.human_only_looks(line) is looks
    assert reading.only_looks("human-monitor-command", {"command-line": line}) is looks
