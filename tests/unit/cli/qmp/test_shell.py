"""Completion, and what goes into the history."""

from __future__ import annotations

import json

import pytest

from ganeti_hv_kvm.cli.commands import qmp
from ganeti_hv_kvm.cli.qmp.schema import Schema
from ganeti_hv_kvm.cli.qmp.shell import Completer
from harness import paths

DATA = paths.PROJECT / "tests/data/qmp/7.2/query-qmp-schema.json"


@pytest.fixture(scope="module")
def completer() -> Completer:
    return Completer(Schema(json.loads(DATA.read_text())["return"]))


@pytest.mark.parametrize(
    ("before", "text", "found"),
    [
        ("", "query-bal", ["query-balloon "]),
        ("", "nothing", []),
        ("set_link ", "", ["name=", "up="]),
        ("set_link name=x ", "", ["up="]),
        ("set_link ", "up=", ["up=on ", "up=off "]),
        ("set_password ", "protocol=s", ["protocol=spice "]),
        ("set_password ", "odd=", []),
        ("query-status ", "", []),
        ("nothing ", "", []),
        ("blockdev-add driver=raw ", "fil", ["file="]),
    ],
)
def test_completion(completer, before, text, found):
    assert completer.candidates(before, text) == found


@pytest.mark.parametrize(
    ("line", "is_kept"),
    [
        ("query-block", True),
        ("device_del id=x", True),
        ("set_password protocol=vnc password=x", False),
        ("object-add qom-type=secret id=x data=y", False),
        ("change vnc password x", False),
        ("blockdev-add driver=rbd file=rbd:pool/image:key=xyz", False),
    ],
)
def test_no_secret_is_remembered(line, is_kept):
    assert qmp._holds_no_secret(line) is is_kept
