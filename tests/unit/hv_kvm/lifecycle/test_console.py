"""Where a guest's console is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ganeti import constants, objects, pathutils
from ganeti.utils import ShellQuote

from ganeti_hv_kvm.hv_kvm.guest.files import Directories, InstanceFiles
from ganeti_hv_kvm.hv_kvm.lifecycle import console

FILES = InstanceFiles(
    Directories(
        pids="/k/pid",
        uids="/k/uid",
        ctrl="/k/ctrl dir",
        conf="/k/conf",
        nics="/k/nic",
        chroot="/k/chroot",
        chroot_quarantine="/k/quarantine",
    ),
    "kvm.example.com",
)
NODE = objects.Node(name="node1", uuid="node1-uuid", ndparams={})
GROUP = objects.NodeGroup(name="group1", ndparams={constants.ND_SSH_PORT: 2222})


def ask(network_port: int | None = None, **hvparams: Any) -> Any:
    instance = SimpleNamespace(name="kvm.example.com", network_port=network_port)
    given = {"serial_console": False, "vnc_bind_address": "", "spice_bind": ""} | hvparams
    found = console.instance_console(instance, NODE, GROUP, given, FILES)
    assert found.Validate() is None
    assert found.instance == "kvm.example.com"
    return found


def test_serial_line() -> None:
    found = ask(serial_console=True, vnc_bind_address="::", network_port=11000)
    assert (found.kind, found.host, found.port) == (constants.CONS_SSH, "node1", 2222)
    assert found.user == constants.SSH_CONSOLE_USER
    assert found.command == [
        pathutils.KVM_CONSOLE_WRAPPER,
        constants.SOCAT_PATH,
        "kvm.example.com",
        ShellQuote("/k/ctrl dir/kvm.example.com.monitor"),
        f"STDIO,{console.socat_parameters()}",
        "UNIX-CONNECT:/k/ctrl dir/kvm.example.com.serial",
    ]


def test_vnc() -> None:
    found = ask(network_port=5910, vnc_bind_address="192.0.2.1", spice_bind="192.0.2.2")
    assert (found.kind, found.host, found.port) == (constants.CONS_VNC, "192.0.2.1", 5910)
    assert found.display == 10


@pytest.mark.parametrize("network_port", [None, 0, constants.VNC_BASE_PORT])
def test_vnc_without_a_port_is_no_console(network_port: int | None) -> None:
    found = ask(network_port=network_port, vnc_bind_address="192.0.2.1")
    assert found.kind == constants.CONS_MESSAGE


def test_spice() -> None:
    found = ask(network_port=11000, spice_bind="192.0.2.2")
    assert (found.kind, found.host, found.port) == (constants.CONS_SPICE, "192.0.2.2", 11000)


def test_none() -> None:
    assert "kvm.example.com" in ask().message


@pytest.mark.parametrize(
    ("escape", "expected"),
    [(True, f"raw,echo=0,escape={constants.SOCAT_ESCAPE_CODE}"), (False, "echo=0,icanon=0")],
)
def test_socat(monkeypatch: pytest.MonkeyPatch, escape: bool, expected: str) -> None:
    monkeypatch.setattr(constants, "SOCAT_USE_ESCAPE", escape)
    assert console.socat_parameters() == expected
