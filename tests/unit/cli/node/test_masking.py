"""Secrets in what is shown."""

from __future__ import annotations

import pytest

from ganeti_hv_kvm.cli.node import masking


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("-spice port=1,password=geheim,addr=::", "-spice port=1,password=***,addr=::"),
        ("secret,id=s0,data=aGV5", "secret,id=s0,data=***"),
        ("secret,id=s0,data=a,,b,format=raw", "secret,id=s0,data=***,format=raw"),
        (
            '{"qom-type":"secret","data": "x","id":"s"}',
            '{"qom-type":"secret","data": "x","id":"s"}',
        ),
        ('{"password": "a\\"b", "x": 1}', '{"password": "***", "x": 1}'),
        ("iscsi://user%geheim@host/x/1", "iscsi://user%***@host/x/1"),
        ("http://user:geheim@host/x.iso", "http://user:***@host/x.iso"),
        ("rbd:pool/image:id=admin:key=AQD==:conf=x", "rbd:pool/image:id=admin:key=***:conf=x"),
        ("Password: geheim", "Password: ***"),
        ("+http://user:geheim@host/x", "+http://user:***@host/x"),
        (
            "rbd:p/i:key=A==:id=x:key=B==,rbd:p/j:key=C",
            "rbd:p/i:key=***:id=x:key=***,rbd:p/j:key=***",
        ),
    ],
)
def test_texts(foreign, shown):
    assert masking.text(foreign) == shown


@pytest.mark.parametrize(
    "seed",
    ["x", "x.", "\xe9", "password", "x://", "x://a:", "rbd:", "rbd:a:", "data=", "secret", " "],
)
def test_a_long_text_takes_no_longer_than_it_is(seed):
    """Fault: hours for one word of a mebibyte, of a reply or a log, and no deadline ends them."""
    foreign = seed * (4_000_000 // len(seed))
    assert masking.text(foreign) == foreign


def test_a_long_line_of_the_human_monitor_too():
    assert masking.human("\n" * 1_000_000) == "\n" * 1_000_000


@pytest.mark.parametrize(
    "plain",
    [
        "/etc/ganeti/vnc-password-file",
        "vnc_password_file=/etc/x",
        "-vnc :1,tls-creds=x",
        "http://host:80/x@y",
        "data=1,bus=pci.0",  # of no secret
        "password-secret=sec0",
        "user@host:/x",
        "unix:/run/x.qmp,server=on",
    ],
)
def test_what_is_no_secret_stays(plain):
    assert masking.text(plain) == plain


def test_values():
    foreign = {
        "qom-type": "secret",
        "data": "x",
        "id": "s0",
        "more": [{"password": "y", "list": ["z"]}, {"passwd": ["a", 7]}],
        "filename": "http://u:p@h/x",
        "is": True,
        "none": None,
    }
    assert masking.value(foreign) == {
        "qom-type": "secret",
        "data": "***",
        "id": "s0",
        "more": [{"password": "***", "list": ["z"]}, {"passwd": ["***", "***"]}],
        "filename": "http://u:***@h/x",
        "is": True,
        "none": None,
    }


def test_what_qemu_is_told_and_says():
    assert masking.human("change vnc password geheim") == "change vnc password ***"
    assert masking.human("change ide1-cd0 /x.iso") == "change ide1-cd0 /x.iso"
    assert masking.reply("qom-get", {"property": "data"}, "geheim") == "***"
    assert masking.reply("qom-get", {"property": "type"}, "pc") == "pc"
