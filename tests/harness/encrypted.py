"""Nodes that migrate guests encrypted: made by their settings, and looked at."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

from . import node, two_nodes
from .two_nodes import Pair, RemoteNode

PLAIN, ENCRYPTED = 8102, 8202
"""The port of Ganeti's default, and that of an encrypted migration beside it."""
SECRET = "12ab" * 16

_SETTING = "GANETI_HV_KVM_MIGRATION_TLS"
#: Makes two nodes by their settings, or by ``node.ORIGINAL``, with the cluster's secret or without.
Nodes = Callable[..., Pair]


@contextlib.contextmanager
def nodes(generation: str) -> Iterator[Nodes]:
    """All nodes that were made are gone when this is left."""
    with contextlib.ExitStack() as stack:

        def start(source: str, target: str, *, secret: bool = True, **more: str) -> Pair:
            modules = [
                (generation, node.ORIGINAL if one == node.ORIGINAL else node.OURS)
                for one in (source, target)
            ]
            settings = {_SETTING: source, **more}
            pair = two_nodes.pair(*modules, at_target={_SETTING: target}, **settings)
            made = stack.enter_context(pair)
            if secret:
                give_secret(SECRET, made.source, made.target)
            return made

        yield start


def give_secret(secret: str, *remotes: RemoteNode) -> None:
    for remote in remotes:
        path = remote.root / "var/lib/ganeti/cluster-domain-secret"
        path.write_text(f"{secret}\n")


def keys(remote: RemoteNode) -> list[str]:
    """All that belongs to keys, below the node's root folder."""
    return [str(path) for path in remote.root.rglob("*") if re.search(r"keys|\.tls|psk", path.name)]


def listens(pair: Pair, guest: dict[str, Any]) -> int:
    """The port that the target's QEMU waits on."""
    (address,) = pair.target.qemu(guest["name"], "query-migrate")["socket-address"]
    return int(address["port"])


def move(pair: Pair, guest: dict[str, Any], *, live: bool = True) -> int:
    """The whole migration; the port that it went through."""
    info = pair.accept(guest)
    port = listens(pair, guest)
    pair.source.call("MigrateInstance", guest, pair.address, live)
    assert pair.wait(guest)[-1]["status"] == "completed"
    pair.finish(guest, info, live=live)
    assert pair.run_states(guest["name"]) == ("gone", "running")
    assert keys(pair.source) + keys(pair.target) == []
    return port
