"""The connection as Ganeti makes it, and as this package's own operations do."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from ganeti_hv_kvm import _native, errors
from ganeti_hv_kvm.hv_kvm import monitor
from oracle.stand_in import GREETING, Peer, StandIn


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def path(tmp_path: Path, heard: list[str]) -> str:
    """A monitor with two commands that notes what it hears."""

    def behave(peer: Peer) -> None:
        peer.send(GREETING)
        while True:
            command = peer.command()
            heard.append(command["execute"])
            values: dict[str, Any] = {
                "query-commands": [{"name": "add-fd"}, {"name": "blockdev-add"}],
                "query-status": {"status": "running"},
            }
            peer.answer(command, values.get(command["execute"], {}))

    StandIn(tmp_path / "qmp", behave, behave)
    return str(tmp_path / "qmp")


def test_a_connection_knows_the_commands(path: str, heard: list[str]) -> None:
    with monitor.QmpConnection(path) as qmp:
        assert qmp.supported_commands == {"add-fd", "blockdev-add"}
    assert heard == ["qmp_capabilities", "query-commands"]


def test_an_operation_asks_for_nothing_that_it_does_not_need(path: str, heard: list[str]) -> None:
    with monitor.without_discovery(monitor.QmpConnection)(path) as qmp:
        assert qmp.execute_qmp("query-status") == {"status": "running"}
    assert heard == ["qmp_capabilities", "query-status"]


def test_what_a_call_says_goes_before_what_the_connection_says(path: str, heard: list[str]) -> None:
    qmp = monitor.without_discovery(monitor.QmpConnection)(path)
    qmp.connect(discover=True)
    assert qmp.supported_commands == {"add-fd", "blockdev-add"}
    qmp.close()
    qmp = monitor.QmpConnection(path)
    qmp.connect(discover=False)
    assert qmp.supported_commands is None
    qmp.close()


def test_a_check_for_commands_asks_for_them(path: str, heard: list[str]) -> None:
    make = monitor.without_discovery(monitor.QmpConnection)
    with make(path) as qmp, pytest.raises(errors.HotplugError, match=r"lacks device_add$"):
        qmp.CheckDiskHotAddSupport()
    assert heard == ["qmp_capabilities", "query-commands"]


def test_commands_are_logged_while_debugging_and_their_secrets_never(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = {"protocol": "vnc", "password": "hunter2"}
    with monitor.QmpConnection(path) as qmp:
        caplog.set_level(logging.INFO)
        qmp.execute_qmp("add-fd")
        assert caplog.messages == []
        caplog.set_level(logging.DEBUG)
        with pytest.raises(errors.QmpCommandNotSupported):
            qmp.execute_qmp("set_password", arguments)
        qmp.execute_qmp("blockdev-add", arguments)
        assert qmp.Execute("add-fd") == {}
    hidden = '{"password":"***","protocol":"vnc"}'
    assert caplog.messages == [f"QMP blockdev-add {hidden}: {{}}", "QMP add-fd {}: {}"]


def test_secrets_are_masked_at_any_depth() -> None:
    told = _native.mask_secrets({"qom-type": "secret", "props": {"data": ["s3cret"]}, "value": 7})
    assert told == '{"props":{"data":["***"]},"qom-type":"secret","value":7}'
    assert _native.mask_secrets({}) == ""
