"""What a source makes of the port that its target listens on, or not."""

from __future__ import annotations

import contextlib
import logging
import socket
from types import SimpleNamespace

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.ganeti import settings
from ganeti_hv_kvm.hv_kvm.migration import channels, encryption, way
from ganeti_hv_kvm.hv_kvm.migration.way import Way

HERE = "127.0.0.1"


class Qmp:
    """A QEMU that has a key, or none."""

    def __init__(self, *, key: bool = True):
        self._key = key

    def execute_qmp(self, command, arguments=None):
        assert command == "qom-list"
        names = ["type", *([encryption._OBJECT] if self._key else [])]
        return [{"name": name, "type": "string"} for name in names]


@pytest.fixture(scope="module")
def two_ports():
    """A port that nobody listens on, with one that somebody does a hundred above."""
    for port in range(20000, 30000):
        with contextlib.suppress(OSError), socket.create_server((HERE, port + 100)):
            socket.create_server((HERE, port)).close()
            yield port
            return


def choose(monkeypatch, wish, port, *, address=HERE, **qemu):
    monkeypatch.setenv(settings.MIGRATION_TLS.variable, wish)
    instance = SimpleNamespace(name="web", hvparams={"migration_port": port})
    return way.choose(SimpleNamespace(name="web", instance=instance), Qmp(**qemu), address)


@pytest.mark.parametrize("wish", ["prefer", "require"])
def test_the_target_takes_it(monkeypatch, two_ports, wish):
    assert choose(monkeypatch, wish, two_ports) == Way(two_ports + 100, encrypted=True)


def test_nobody_takes_it(monkeypatch, two_ports, caplog):
    assert choose(monkeypatch, "prefer", two_ports - 100) == Way(two_ports - 100)
    assert "web goes unencrypted: nobody takes it encrypted there" in caplog.text
    with pytest.raises(errors.HypervisorError, match="requires that it goes encrypted"):
        choose(monkeypatch, "require", two_ports - 100)


def test_this_node_has_no_key(monkeypatch, two_ports, caplog):
    assert choose(monkeypatch, "prefer", two_ports, key=False) == Way(two_ports)
    assert "this node cannot encrypt it" in caplog.text
    with pytest.raises(errors.HypervisorError, match="this node cannot encrypt it"):
        choose(monkeypatch, "require", two_ports, key=False)


def test_off_asks_nobody(monkeypatch, caplog):
    caplog.set_level(logging.WARNING)
    assert choose(monkeypatch, "off", 8102, address="no such host") == Way(8102)
    assert caplog.text == ""


@pytest.mark.parametrize("wish", ["prefer", "require"])
def test_a_doubt_is_no_no(monkeypatch, wish):
    """Fault: a firewall lets nothing through, and nobody says so."""

    def silence(*_args):
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", silence)
    with pytest.raises(errors.HypervisorError, match="cannot be told: port 8202 there: timed out"):
        choose(monkeypatch, wish, 8102)


def test_a_slip_is_not_off(monkeypatch):
    with pytest.raises(errors.HypervisorError, match="web was not sent: what migration_tls is to"):
        choose(monkeypatch, "requires", 8102)


# Channels


@pytest.mark.parametrize(
    ("caps", "number"), [("", 4), ("multifd", 4), ("postcopy-ram", 0), ("xbzrle:multifd", 0)]
)
def test_a_guest_with_capabilities_of_its_own_has_no_channels(monkeypatch, caps, number):
    monkeypatch.setenv(settings.MIGRATION_CHANNELS.variable, "4")
    instance = SimpleNamespace(name="web", hvparams={"migration_caps": caps})
    assert channels.wanted(SimpleNamespace(instance=instance)) == number
