"""What the tests of several folders start from."""

from __future__ import annotations

import pytest

from .node_of_one import Node


@pytest.fixture
def node(tmp_path, monkeypatch):
    """A node with one guest, which is down."""
    made = Node(tmp_path, monkeypatch)
    yield made
    if made.qemu:
        made.end_qemu()
