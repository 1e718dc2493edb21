"""Images on web servers, against a real server on this machine."""

from __future__ import annotations

import http.server
import socket
import threading
import time

import pytest
from ganeti import errors

from ganeti_hv_kvm.hv_kvm.host import remote_image
from unit.hv_kvm.command_line import samples


class Images(http.server.BaseHTTPRequestHandler):
    """Has /there.iso, and counts the bodies that are asked for."""

    bodies = 0

    def do_HEAD(self) -> None:
        self.send_response(200 if self.path == "/there.iso" else 404)
        self.end_headers()

    def do_GET(self) -> None:
        type(self).bodies += 1
        self.do_HEAD()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Images) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


@pytest.fixture
def listener():
    """A port where somebody listens and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def url_of(listening: socket.socket) -> str:
    return f"http://127.0.0.1:{listening.getsockname()[1]}/a.iso"


def test_only_headers_are_asked_for(server: str) -> None:
    assert remote_image.is_reachable(f"{server}/there.iso")
    assert not remote_image.is_reachable(f"{server}/gone.iso")
    assert Images.bodies == 0


def test_check_names_parameter_url_and_reason(server: str) -> None:
    found = {"cdrom_image_path": f"{server}/there.iso", "cdrom2_image_path": "/local.iso"}
    remote_image.check(samples.instance(**found).hvparams)

    gone = samples.instance(**found | {"cdrom2_image_path": f"{server}/gone.iso"})
    with pytest.raises(errors.HypervisorError, match=r"cdrom2_image_path=http://.*/gone.iso .*404"):
        remote_image.check(gone.hvparams)


def test_a_silent_server_costs_the_time_out(listener: socket.socket) -> None:
    began = time.monotonic()

    assert not remote_image.is_reachable(url_of(listener), timeout=0.3)
    assert time.monotonic() - began < 10


def test_a_server_that_talks_nonsense(listener: socket.socket) -> None:
    def talk() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"\0nonsense\r\n\r\n")

    thread = threading.Thread(target=talk)
    thread.start()
    assert remote_image.why_unreachable(url_of(listener), timeout=5)
    thread.join()


def test_nobody_listens(listener: socket.socket) -> None:
    url = url_of(listener)
    listener.close()

    assert "refused" in (remote_image.why_unreachable(url) or "")


def test_a_url_without_a_host() -> None:
    assert not remote_image.is_reachable("http:///a.iso")
