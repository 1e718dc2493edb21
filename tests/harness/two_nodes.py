"""Two Ganeti nodes in one sandbox, to migrate guests between.

Each is a process with a root folder, a Ganeti generation and a hypervisor module of its own, and
is asked over a pipe as the master would ask it over the network.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import node, paths
from .closing import Closing

Wanted = dict[str, Any]

_SERVER = Path(__file__).with_name("node_process.py")
_POLL = 0.1


class RemoteError(Exception):
    """A request failed on the node; ``kinds`` are the classes of its error."""

    def __init__(self, kinds: list[str], text: str) -> None:
        super().__init__(text)
        self.kinds = kinds

    @property
    def is_hypervisor_error(self) -> bool:
        return "HypervisorError" in self.kinds


class RemoteNode(Closing):
    """One node; its methods are those of Ganeti's hypervisor class, called by name."""

    def __init__(
        self,
        generation: str,
        module: str,
        *,
        root: Path | None = None,
        within: Sequence[str] = (),
        **environment: str,
    ) -> None:
        """Start it.

        ``root`` is that of another node's process, whose guests this one is to go on with;
        ``within`` a command that the process is an argument of, and becomes.
        """
        node.require_sandbox()
        self.generation = generation
        self.module = module
        self._process = subprocess.Popen(
            [
                *within,
                *(sys.executable, str(_SERVER), generation, module),
                *([str(root)] if root else []),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
            cwd=paths.PROJECT,
        )
        self._lock = threading.Lock()
        first = self._read()
        self.root = Path(first)

    def call(self, method: str, *arguments: Any) -> Any:
        """The result of the method there; `RemoteError` if it raised."""
        with self._lock:
            assert self._process.stdin
            print(json.dumps([method, arguments]), file=self._process.stdin, flush=True)
            answer = self._read()
        if "error" in answer:
            raise RemoteError(answer["error"], answer["text"])
        return answer["value"]

    def _read(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the node's process ended with {self._process.wait()}")
        return json.loads(line)

    def seen(self, path: str | Path) -> Path:
        """A path of the node's as this process can reach it, where its mounts are others."""
        return Path(f"/proc/{self._process.pid}/root/{str(path).lstrip('/')}")

    @property
    def run_folder(self) -> Path:
        return self.root / "var/run/ganeti/kvm-hypervisor"

    @property
    def log(self) -> str:
        """Everything that the module logged."""
        return (self.root / "node.log").read_text()

    def socket(self, name: str, kind: str) -> Path:
        return self.run_folder / "ctrl" / f"{name}.{kind}"

    def pid(self, name: str) -> int:
        return int((self.run_folder / "pid" / name).read_text())

    def files(self) -> list[str]:
        """All files of instances, and their folders."""
        found = (path.relative_to(self.run_folder) for path in self.run_folder.rglob("*"))
        return sorted(str(path) for path in found if len(path.parts) > 1)

    def qemu(self, name: str, command: str, **arguments: Any) -> Any:
        """What QEMU itself answers, on the monitor that the module does not use."""
        return raw_qmp(self.socket(name, "kvmd"), command, arguments)

    def run_state(self, name: str) -> str:
        """What the guest does here, "gone" if it is not here."""
        try:
            return str(self.qemu(name, "query-status")["status"])
        except OSError:
            return "gone"

    def close(self) -> None:
        """Ends the process; its root folder goes with it, its guests do not."""
        with contextlib.suppress(OSError):
            assert self._process.stdin
            self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()


def raw_qmp(path: Path, command: str, arguments: dict[str, Any]) -> Any:
    """One command, with nothing of any module in it; `OSError` if nobody is there.

    QEMU may give a client what an earlier one had asked for: the reply is known by its id.
    """
    with socket.socket(socket.AF_UNIX) as connected:
        connected.settimeout(30)
        connected.connect(str(path))
        with connected.makefile("rwb") as lines:
            lines.readline()
            for message in (
                {"execute": "qmp_capabilities", "id": "test-1"},
                {"execute": command, "arguments": arguments, "id": "test-2"},
            ):
                lines.write(json.dumps(message).encode() + b"\n")
                lines.flush()
                reply = json.loads(lines.readline() or b'{"event": "the end"}')
                while reply.get("id") != message["id"]:
                    line = lines.readline()
                    if not line:
                        raise ConnectionResetError("QEMU has gone")
                    reply = json.loads(line)
    if "error" in reply:
        raise RuntimeError(f"{command}: {reply['error']}")
    return reply["return"]


@dataclass(frozen=True)
class Pair:
    """The two nodes, and Ganeti's master between them."""

    source: RemoteNode
    target: RemoteNode
    address: str = "127.0.0.1"

    def reversed(self) -> Pair:
        return Pair(self.target, self.source, self.address)

    def of(self, wanted: Wanted) -> Wanted:
        """As both nodes are told of it until it has moved: its primary is the source."""
        return {**wanted, "primary_node": self.source.root.parent.name}

    def accept(self, wanted: Wanted) -> str:
        """Prepares the target; what the source told it."""
        info = self.information(wanted)
        self.target.call("AcceptInstance", self.of(wanted), info, self.address)
        return info

    def information(self, wanted: Wanted) -> str:
        """What the source tells, with the paths of the target: on real nodes they are the same."""
        info: str = self.source.call("MigrationInfo", self.of(wanted))
        return info.replace(str(self.source.root), str(self.target.root))

    def try_accept(self, wanted: Wanted) -> tuple[str, str]:
        """What the source told, and why the target did not accept it ("" if it did)."""
        info = self.information(wanted)
        return info, _text(self.target, "AcceptInstance", self.of(wanted), info, self.address)

    def begin(self, wanted: Wanted, *, live: bool = True) -> str:
        """Up to the moment when memory is being sent."""
        info = self.accept(wanted)
        self.source.call("MigrateInstance", self.of(wanted), self.address, live)
        return info

    def wait(self, wanted: Wanted, timeout: float = 60.0) -> list[dict[str, Any]]:
        """Polls until the migration is no longer active; all answers."""
        deadline = time.monotonic() + timeout
        answers = []
        while True:
            answers.append(self.source.call("GetMigrationStatus", wanted))
            if answers[-1]["status"] not in ("active", "postcopy-active"):
                return answers
            if time.monotonic() > deadline:
                raise TimeoutError(f"still {answers[-1]} after {timeout:g} s")
            time.sleep(_POLL)

    def finish(self, wanted: Wanted, info: str, *, live: bool = True) -> None:
        """After success: the source first, as the master does."""
        self.source.call("FinalizeMigrationSource", self.of(wanted), True, live)
        self.target.call("FinalizeMigrationDst", self.of(wanted), info, True)

    def migrate(self, wanted: Wanted, *, live: bool = True) -> list[dict[str, Any]]:
        """The whole of it; the answers to the polls."""
        info = self.begin(wanted, live=live)
        answers = self.wait(wanted)
        if answers[-1]["status"] != "completed":
            raise RuntimeError(f"the migration ended as {answers[-1]}")
        self.finish(wanted, info, live=live)
        return answers

    def abort(self, wanted: Wanted, info: str, *, live: bool = True) -> tuple[str, str]:
        """The target first, as the master does; the error texts, "" where there was none."""
        wanted = self.of(wanted)
        return (
            _text(self.target, "FinalizeMigrationDst", wanted, info, False),
            _text(self.source, "FinalizeMigrationSource", wanted, False, live),
        )

    def run_states(self, name: str) -> tuple[str, str]:
        return self.source.run_state(name), self.target.run_state(name)


def _text(remote: RemoteNode, *request: Any) -> str:
    try:
        remote.call(*request)
    except RemoteError as error:
        if not error.is_hypervisor_error:
            raise
        return str(error)
    return ""


@contextlib.contextmanager
def pair(
    source: tuple[str, str],
    target: tuple[str, str],
    *,
    at_target: Mapping[str, str] | None = None,
    within: Sequence[str] = (),
    **environment: str,
) -> Iterator[Pair]:
    """Two nodes, each given as (generation, module); ``at_target`` is that one's alone."""
    there = {**environment, **(at_target or {})}
    with (
        RemoteNode(*source, within=within, **environment) as first,
        RemoteNode(*target, within=within, **there) as second,
    ):
        yield Pair(first, second)
