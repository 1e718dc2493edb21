"""VNC and SPICE: where QEMU listens, whom it lets in, and that no password is to be read."""

from __future__ import annotations

import logging
import os
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from ganeti import constants, pathutils

from ganeti_hv_kvm.hv_kvm import QmpConnection
from harness import certificates, instance, paths, spice, vencrypt
from oracle import rfb

pytestmark = [pytest.mark.rather_3_0, pytest.mark.one_in(2)]

NAME = "web1.example.com"
PORT = 5911
PASSWORD = "a b\\c%s"
NO_PASSWORD = 1
on_a_network = pytest.mark.usefixtures("an_address_of_the_network")


@pytest.fixture(params=[paths.QEMU, paths.QEMU_10], ids=["QEMU 7.2", "QEMU 10"])
def qemu(request):
    return str(request.param)


@pytest.fixture
def an_address_of_the_network(bridge):
    """SPICE looks up addresses as for a host that is on a network, and only then finds its own."""
    subprocess.run(["ip", "address", "add", "192.0.2.1/24", "dev", bridge], check=True)
    yield
    subprocess.run(["ip", "address", "del", "192.0.2.1/24", "dev", bridge], check=True)


@pytest.fixture
def password_file(tmp_path):
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    return str(file)


def start(hypervisor, **parameters) -> None:
    made = instance.instance(NAME, **parameters)
    made.network_port = PORT
    hypervisor.StartInstance(made, [], True)


def query(hypervisor, command: str):
    with QmpConnection(hypervisor._InstanceQmpMonitor(NAME)) as qmp:
        return qmp.execute_qmp(command)


def connect() -> socket.socket:
    return socket.create_connection(("127.0.0.1", PORT), timeout=10)


def security_types(server: socket.socket) -> list[int]:
    server.recv(12)
    server.sendall(b"RFB 003.008\n")
    return list(server.recv(server.recv(1)[0]))


def assert_told_nowhere(hypervisor, caplog, secret: str) -> None:
    pid = hypervisor.GetInstanceInfo(NAME)[1]
    for file in ("cmdline", "environ"):
        assert secret.encode() not in Path(f"/proc/{pid}/{file}").read_bytes()
    assert secret not in caplog.text
    assert secret not in hypervisor._ReadKVMRuntime(NAME)
    for log in Path(pathutils.LOG_KVM_DIR).iterdir():
        assert secret not in log.read_text()


@pytest.mark.parametrize("address", ["127.0.0.1", "lo"])
def test_vnc_listens_where_it_was_told(hypervisor, qemu, address):
    start(hypervisor, kvm_path=qemu, vnc_bind_address=address)
    told = query(hypervisor, "query-vnc")
    assert (told["host"], told["service"], told["auth"]) == ("127.0.0.1", str(PORT), "none")
    with connect() as server:
        assert security_types(server) == [NO_PASSWORD]


def test_vnc_in_a_folder(hypervisor, qemu, tmp_path, password_file):
    # who may open the folder may see the screen: a password of the cluster's is not for this one
    start(
        hypervisor,
        kvm_path=qemu,
        vnc_bind_address=str(tmp_path),
        vnc_password_file=password_file,
    )
    with socket.socket(socket.AF_UNIX) as server:
        server.settimeout(10)
        server.connect(str(tmp_path / f"{NAME}.vnc"))
        assert security_types(server) == [NO_PASSWORD]


def test_vnc_asks_for_its_password(hypervisor, qemu, password_file, caplog):
    caplog.set_level(logging.DEBUG)
    start(
        hypervisor,
        kvm_path=qemu,
        vnc_bind_address="127.0.0.1",
        vnc_password_file=password_file,
    )
    assert query(hypervisor, "query-vnc")["auth"] == "vnc"
    assert not rfb.is_accepted(PORT, "wrong")
    assert rfb.is_accepted(PORT, PASSWORD)
    assert_told_nowhere(hypervisor, caplog, PASSWORD)


def test_vnc_over_tls_with_a_certificate(hypervisor, qemu, tmp_path):
    certificates.make(tmp_path)
    start(
        hypervisor,
        kvm_path=qemu,
        vnc_bind_address="127.0.0.1",
        vnc_tls=True,
        vnc_x509_path=str(tmp_path),
    )
    with connect() as server:
        assert vencrypt.offers(server) == [vencrypt.X509_NONE]
        with vencrypt.encrypt(server, vencrypt.X509_NONE, tmp_path / "ca-cert.pem") as encrypted:
            assert vencrypt.result(encrypted) == 0


def test_vnc_over_tls_asks_clients_for_their_certificates(hypervisor, qemu, tmp_path):
    certificates.make(tmp_path)
    start(
        hypervisor,
        kvm_path=qemu,
        vnc_bind_address="127.0.0.1",
        vnc_tls=True,
        vnc_x509_path=str(tmp_path),
        vnc_x509_verify=True,
    )
    with connect() as server:
        assert vencrypt.offers(server) == [vencrypt.X509_NONE]
        with (
            pytest.raises((ssl.SSLError, OSError, EOFError)),
            vencrypt.encrypt(server, vencrypt.X509_NONE, tmp_path / "ca-cert.pem") as encrypted,
        ):
            # with TLS 1.3 the client's handshake is over before the server has said no
            vencrypt.result(encrypted)


def test_vnc_over_tls_without_certificates(hypervisor, qemu, password_file):
    start(
        hypervisor,
        kvm_path=qemu,
        vnc_bind_address="127.0.0.1",
        vnc_tls=True,
        vnc_password_file=password_file,
    )
    with connect() as server:
        assert vencrypt.offers(server) == [vencrypt.TLS_PASSWORD]


def test_no_display(hypervisor, qemu):
    start(hypervisor, kvm_path=qemu)
    assert query(hypervisor, "query-vnc")["enabled"] is False


@on_a_network
def test_spice(hypervisor, qemu):
    start(hypervisor, kvm_path=qemu, spice_bind="127.0.0.1")
    told = query(hypervisor, "query-spice")
    assert (told["host"], told["port"], told["auth"]) == ("127.0.0.1", PORT, "none")
    with connect() as server:
        assert spice.is_accepted(server, "any")


@on_a_network
def test_spice_asks_for_its_password(hypervisor, qemu, password_file, caplog):
    caplog.set_level(logging.DEBUG)
    start(hypervisor, kvm_path=qemu, spice_bind="127.0.0.1", spice_password_file=password_file)
    assert query(hypervisor, "query-spice")["auth"] == "spice"
    with connect() as server:
        assert not spice.is_accepted(server, "wrong")
    with connect() as server:
        assert spice.is_accepted(server, PASSWORD)
    assert_told_nowhere(hypervisor, caplog, PASSWORD)


@pytest.fixture
def spice_certificate(tmp_path):
    certificates.make(tmp_path)
    server = (tmp_path / "server-cert.pem").read_text() + (tmp_path / "server-key.pem").read_text()
    authority = tmp_path / "ca-cert.pem"
    files = {pathutils.SPICE_CERT_FILE: server, pathutils.SPICE_CACERT_FILE: authority.read_text()}
    for path, content in files.items():
        Path(path).write_text(content)
    yield authority
    for path in files:
        os.unlink(path)


@on_a_network
def test_spice_over_tls(hypervisor, qemu, spice_certificate, password_file):
    start(
        hypervisor,
        kvm_path=qemu,
        spice_bind="lo",
        spice_ip_version=constants.IP4_VERSION,
        spice_use_tls=True,
        spice_password_file=password_file,
    )
    told = query(hypervisor, "query-spice")
    assert told["tls-port"] == PORT
    assert "port" not in told
    context = ssl.create_default_context(cafile=str(spice_certificate))
    with connect() as server, context.wrap_socket(server, server_hostname="127.0.0.1") as encrypted:
        assert spice.is_accepted(encrypted, PASSWORD)
