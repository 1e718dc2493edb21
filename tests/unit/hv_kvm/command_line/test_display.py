"""Which displays of a stored command ask for a password."""

from __future__ import annotations

import pytest

from ganeti_hv_kvm.hv_kvm.command_line import takes_password


@pytest.mark.parametrize(
    ("command", "protocol", "expected"),
    [
        (["-vnc", ":1,password"], "vnc", True),
        (["-vnc", ":1,tls-creds=vnctls0,password=on"], "vnc", True),
        (["-vnc", ":1"], "vnc", False),
        (["-vnc", "password:1"], "vnc", False),
        (["-vnc", "unix:/run/web1.vnc"], "vnc", False),
        (["-display", "none"], "vnc", False),
        (["-spice", "addr=::1,port=5900"], "spice", True),
        (["-spice", "addr=::1,port=5900,disable-ticketing"], "spice", False),
        (["-vnc", ":1,password"], "spice", False),
        (["-vga", "-vnc"], "vnc", False),
        ([], "spice", False),
    ],
)
def test_takes_password(command, protocol, expected):
    assert takes_password(["qemu", *command], protocol) is expected
