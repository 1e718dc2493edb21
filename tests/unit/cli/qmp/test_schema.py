"""Arguments checked against the schema of a real QEMU 7.2."""

from __future__ import annotations

import json

import pytest

from ganeti_hv_kvm.cli.qmp import arguments
from ganeti_hv_kvm.cli.qmp.schema import Schema, UnfitError
from harness import paths

DATA = paths.PROJECT / "tests/data/qmp/7.2/query-qmp-schema.json"


@pytest.fixture(scope="module")
def schema() -> Schema:
    return Schema(json.loads(DATA.read_text())["return"])


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("query-status", {}),
        ("query-status {}", {}),
        ("stop", {}),
        ("balloon value=0x10000000", {"value": 1 << 28}),
        ("qom-get path=/machine property=type", {"path": "/machine", "property": "type"}),
        ("set_link name=nic-1 up=off", {"name": "nic-1", "up": False}),
        (
            "set_password protocol=vnc password='two words'",
            {"protocol": "vnc", "password": "two words"},
        ),
        ("device_del id=17", {"id": "17"}),
        # -device's own properties are in no schema
        (
            "device_add driver=virtio-blk-pci drive=d id=x share-rw=on",
            {"driver": "virtio-blk-pci", "drive": "d", "id": "x", "share-rw": True},
        ),
        (
            "blockdev-add driver=raw node-name=n file.driver=file file.filename=/x read-only=on",
            {
                "driver": "raw",
                "node-name": "n",
                "file": {"driver": "file", "filename": "/x"},
                "read-only": True,
            },
        ),
        # an alternate: the name of a node, or an object
        (
            "blockdev-add driver=raw node-name=n file=other",
            {"driver": "raw", "node-name": "n", "file": "other"},
        ),
        (
            """migrate-set-capabilities capabilities:='[{"capability":"events","state":true}]'""",
            {"capabilities": [{"capability": "events", "state": True}]},
        ),
        (
            'migrate-set-parameters {"max-bandwidth": 1000}',
            {"max-bandwidth": 1000},
        ),
        ("human-monitor-command command-line='info block'", {"command-line": "info block"}),
    ],
)
def test_what_is_taken(schema, line, given):
    command, *words = arguments.split(line)
    assert arguments.read(schema, command, words) == given


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("query-statu", "no command 'query-statu'; did you mean 'query-status'"),
        ("", "no command ''"),
        ("STOP", "no command"),  # an event has that name
        ("query-block x=1", "query-block has no argument 'x'"),
        ('query-block {"x": 1}', "x is not known"),
        ("device_del", "id is missing"),
        ("device_del idd=x", "no argument 'idd'; did you mean 'id'"),
        ("device_add id=x", "driver is missing"),
        ("balloon value=much", "value is a whole number, not 'much'"),
        ('balloon {"value": true}', "value is to be a whole number, not true or false"),
        ("set_link name=x up=maybe", "up is on or off"),
        ("device_del id=x id=y", "id is given twice"),
        ("device_del x", "no key=value"),
        ("device_del {x}", "no JSON"),
        ("device_del :=3", "no key=value"),
        ("set_password protocol=x password=y", "protocol is 'x', which is none of vnc, spice"),
        ("blockdev-add driver=raw node-name=n", "file is missing"),
        ("blockdev-add driver=rwa node-name=n", "none of"),
        ("blockdev-add driver=raw file.driver=file file.filenam=x", "did you mean 'filename'"),
        ("migrate-set-capabilities capabilities:=[3]", r"capabilities\[0\] is to be an object"),
        ("migrate-set-capabilities capabilities:=[", "no JSON"),
        ("migrate-set-capabilities capabilities=3", "capabilities is to be a list"),
        ("device_del 'id=x", "No closing quotation"),
    ],
)
def test_what_is_not_taken(schema, line, why):
    def read() -> None:
        command, *words = arguments.split(line) or [""]
        arguments.read(schema, command, words)

    with pytest.raises(UnfitError, match=why):
        read()


def test_deep_nesting_has_an_end(schema):
    file: object = "end"
    for _ in range(100):
        file = {"driver": "raw", "file": file}
    with pytest.raises(UnfitError, match="nested too deeply"):
        schema.check("blockdev-add", {"driver": "raw", "file": file})


@pytest.mark.parametrize("odd", [None, 3, [3], [{}], [{"name": 3}], {"name": "x"}])
def test_what_is_no_schema(odd):
    with pytest.raises(UnfitError):
        Schema(odd)


def test_many_problems_are_cut(schema):
    given = {"driver": "raw", "file": "x", **{f"odd{number}": 1 for number in range(50)}}
    with pytest.raises(UnfitError, match="and 42 more"):
        schema.check("blockdev-add", given)
