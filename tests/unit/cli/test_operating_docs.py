"""docs/operating.md has every command, and calls each as it can be called."""

from __future__ import annotations

import re
import shlex

from ganeti_hv_kvm.cli import commands, program
from ganeti_hv_kvm.cli.frame import exit_status
from harness import paths

TEXT = (paths.PROJECT / "docs/operating.md").read_text()
CALLS = re.findall(r"^    # ganeti-hv-kvm ([^|\n]*)", TEXT, re.MULTILINE)


def test_every_command_is_there():
    headings = " ".join(re.findall(r"^## (.*)", TEXT, re.MULTILINE))
    words = set(re.findall(r"[\w-]+", headings))
    assert set(commands.HELP) - words == set()


def test_each_call_can_be_made():
    assert len(CALLS) > 8
    for call in CALLS:
        options = program._options(shlex.split(call))
        assert options.command == call.split()[0]


def test_each_exit_status_is_there():
    for number in exit_status.MEANINGS:
        assert f"| {number} |" in TEXT
