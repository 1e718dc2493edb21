"""The cluster itself."""

from __future__ import annotations

import pytest

from .conftest import modules

pytestmark = pytest.mark.core
_IN_USE = {"ours": "replacement", "original": "original"}


def test_init(nodes):
    """cluster init, node add."""
    nodes.initialize(modules())
    assert "n2.example.com" in nodes.gnt("gnt-node", "list")


def test_module_in_use(cluster):
    """each node's Ganeti gets the module chosen for it."""
    assert [node.module_in_use() for node in cluster.nodes] == [_IN_USE[one] for one in modules()]


def test_verify(cluster):
    """cluster verify of the empty cluster."""
    assert cluster.verify() == []


def test_node_info(cluster):
    """node list with memory and version."""
    text = cluster.gnt("gnt-node", "list", "--no-headers", "-o", "name,mtotal,hv_state,ctotal")
    assert len(text.splitlines()) == 2, text
