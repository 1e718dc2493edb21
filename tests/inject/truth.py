"""What is really there, asked of the kernel and of QEMU's second monitor, never of our module."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import tiny_guest
from harness.two_nodes import raw_qmp

from .tracee import InjectedNode

_PROC = Path("/proc")
_AMPLE = 30.0
_LOOK = 0.01


@dataclass(frozen=True)
class Qemu:
    """A process that runs QEMU for an instance."""

    pid: int
    name: str
    pidfile: str


def qemus() -> dict[int, Qemu]:
    """Every QEMU of this sandbox with a pid file: not those that only tell what they can do."""
    found = {}
    for entry in filter(str.isdigit, os.listdir(_PROC)):
        with contextlib.suppress(OSError, ValueError, IndexError):
            if not Path(os.readlink(_PROC / entry / "exe")).name.startswith("qemu"):
                continue
            if (_PROC / entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                continue
            words = (_PROC / entry / "cmdline").read_text().split("\0")
            pidfile = words[words.index("-pidfile") + 1]
            found[int(entry)] = Qemu(int(entry), Path(pidfile).name, pidfile)
    return found


@dataclass
class Truth:
    """What there is at one moment.

    ``things`` are named so that they are equal in each run; the value of each is by what words an
    error can name it.
    """

    things: dict[str, tuple[str, ...]] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)


def look(nodes: dict[str, InjectedNode], known: dict[str, int] | None = None) -> Truth:
    """Everything that an operation may change; ``known`` are the processes of before, by label."""
    truth = Truth()
    for qemu in qemus().values():
        where = next((one for one in nodes if qemu.pidfile.startswith(str(nodes[one].root))), "?")
        label = f"{where}: QEMU of {qemu.name}"
        while label in truth.things:
            label += ", once more"
        truth.things[label] = (str(qemu.pid),)
        truth.pids[label] = qemu.pid
        if known and known.get(label) == qemu.pid:
            truth.things[f"{label}, the same process"] = (str(qemu.pid),)
        if where != "?":
            _add_inside(truth, label, nodes[where], qemu.name)
    for number, interface in enumerate(sorted(os.listdir("/sys/class/net"))):
        truth.things[f"interface {number}"] = (interface,)
    for label, node in nodes.items():
        for path in node.run_folder.rglob("*"):
            relative = path.relative_to(node.run_folder)
            if len(relative.parts) > 1:
                truth.things[f"{label}: file {relative}"] = (str(path), str(path.parent))
            if path.suffix == ".runtime":
                with contextlib.suppress(OSError):
                    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
                    truth.things[f"{label}: content of {relative} {digest}"] = (str(path),)
    return truth


def _add_inside(truth: Truth, label: str, node: InjectedNode, name: str) -> None:
    try:
        for thing, words in inside(node.run_folder / "ctrl" / f"{name}.kvmd"):
            truth.things[f"{label}: {thing}"] = words
    except (OSError, ValueError) as error:
        truth.things[f"{label}: does not answer ({type(error).__name__})"] = (name,)


def inside(monitor: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What QEMU has, each with the words that name it."""

    def ask(command: str, **arguments: Any) -> Any:
        return raw_qmp(monitor, command, arguments)

    status = ask("query-status")["status"]
    yield f"is {status}", ()
    for child in ask("qom-list", path="/machine/peripheral"):
        if child["type"].startswith("child<"):
            yield f"device {child['name']}", (child["name"],)
            if child["name"].startswith("nic-"):
                path = f"/machine/peripheral/{child['name']}"
                mac = ask("qom-get", path=path, property="mac")
                yield f"MAC {mac}", (child["name"],)
    for block in ask("query-named-block-nodes"):
        if not block["node-name"].startswith("#"):
            yield f"block node {block['node-name']}", (block["node-name"],)
    for drive in ask("query-block"):
        size = drive.get("inserted", {}).get("image", {}).get("virtual-size")
        yield f"drive {drive['device'] or drive.get('qdev')} of {size}", (drive["device"],)
    for fdset in ask("query-fdsets"):
        if fdset["fds"]:
            yield f"fdset {fdset['fdset-id']}", (f"fdset {fdset['fdset-id']}",)
    network = ask("human-monitor-command", **{"command-line": "info network"})
    for line in network.splitlines():
        netdev = re.match(r" ?\\? ?([\w-]+):", line)
        if netdev:
            yield f"netdev {netdev[1]}", (netdev[1],)


def wait_ready(node: InjectedNode, name: str) -> None:
    """Until the tiny guest listens to its power button."""
    monitor = node.run_folder / "ctrl" / f"{name}.kvmd"
    wait(lambda: tiny_guest.READY_ANSWER in str(raw_qmp(
        monitor, "human-monitor-command", {"command-line": tiny_guest.READY_QUESTION}
    )))  # fmt: skip


def wait_arrived(node: InjectedNode, name: str) -> None:
    """Until a guest that was sent here runs."""
    monitor = node.run_folder / "ctrl" / f"{name}.kvmd"

    if not wait(lambda: ("is running", ()) in inside(monitor)):
        raise RuntimeError(f"it does not arrive: {list(inside(monitor))}")


def wait(condition: Any, seconds: float = _AMPLE) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(_LOOK)
    return True


def kill_all() -> None:
    """Ends each guest of this sandbox, and waits until it is gone."""
    for pid in qemus():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait(lambda: not qemus())
    wait(lambda: not any(name.startswith("tap") for name in os.listdir("/sys/class/net")))


class Witness:
    """Keeps QEMU's events, from a monitor of its own: how a guest came to its end."""

    def __init__(self, monitor: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(0.2)
        self._socket.connect(str(monitor))
        self._socket.sendall(b'{"execute": "qmp_capabilities"}\n')

    def events(self) -> list[dict[str, Any]]:
        """All of them so far."""
        data = b""
        with contextlib.suppress(OSError):
            while part := self._socket.recv(1 << 16):
                data += part
        self._socket.close()
        messages = [json.loads(line) for line in data.splitlines() if line.endswith(b"}")]
        return [message for message in messages if "event" in message]
