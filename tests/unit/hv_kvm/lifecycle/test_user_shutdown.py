"""Showing a socket to kvmd a second time: a listener stays reachable, whatever happens."""

from __future__ import annotations

import os
import socket

import pytest

from ganeti_hv_kvm.hv_kvm.lifecycle import user_shutdown


@pytest.fixture
def listener(tmp_path):
    path = str(tmp_path / "web1.kvmd")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        yield path, server


def assert_reachable(path, server):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        accepted, _ = server.accept()
        accepted.close()
    assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]


def test_it_appears_again(listener, monkeypatch):
    path, server = listener
    made = []
    link = os.link
    monkeypatch.setattr(
        os, "link", lambda source, target: made.append(target) or link(source, target)
    )
    user_shutdown.show_again(path)
    assert made == [path]
    assert_reachable(path, server)


def test_a_file_system_without_hard_links(listener, monkeypatch, caplog):
    path, server = listener

    def fail(source, target):
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", fail)
    user_shutdown.show_again(path)
    assert "no links here" in caplog.text
    assert_reachable(path, server)


def test_a_socket_that_is_not_there(tmp_path, caplog):
    user_shutdown.show_again(str(tmp_path / "gone.kvmd"))
    assert "gone.kvmd" in caplog.text
    assert os.listdir(tmp_path) == []
