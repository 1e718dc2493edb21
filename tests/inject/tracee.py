"""A request to a node that `server` forks for it, run under strace: watched, or with one fault."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import node, paths
from harness.descriptors import open_files

from .server import GO

_SERVER = Path(__file__).with_name("server.py")
# How a child waits, before and after: rt_sigtimedwait and pause, on x86-64.
_BEFORE, _AFTER = 128, 34
_CALL = re.compile(r"^(?P<name>\w+)\((?P<arguments>.*)\)? += (?P<result>.*)$")
_INJECTED = "(INJECTED)"
_HUNG = 150.0
_LOOK = 0.002


@dataclass(frozen=True)
class Call:
    """A system call as strace writes it; ``ordinal`` counts those of its name, from 1."""

    name: str
    arguments: str
    result: str
    ordinal: int


@dataclass(frozen=True)
class Fault:
    """What becomes of one system call."""

    call: str
    ordinal: int
    error: str


@dataclass
class Outcome:
    """What a request led to.

    Attributes:
        value: what the method gave.
        kinds: the classes of the error that it raised; empty if it did not.
        text: that error's words.
        calls: what the process asked of the kernel, as far as it was traced.
        hit: the call that failed, None if the request did not come so far.
        leaked: open files that the process had afterwards and not before.
        died: how the process ended, if it did not answer.
    """

    value: Any = None
    kinds: list[str] = field(default_factory=list)
    text: str = ""
    calls: list[Call] = field(default_factory=list)
    hit: Call | None = None
    leaked: list[str] = field(default_factory=list)
    died: str = ""

    @property
    def failed(self) -> bool:
        return bool(self.kinds)


class InjectedNode:
    """A Ganeti node, each of whose requests can be given a fault."""

    def __init__(self, generation: str, folder: Path) -> None:
        node.require_sandbox()
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._log = (folder / "stderr").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, str(_SERVER), generation],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=paths.PROJECT,
        )
        self.root = Path(self._read())

    @property
    def run_folder(self) -> Path:
        return self.root / "var/run/ganeti/kvm-hypervisor"

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def _read(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the node ended: {(self._folder / 'stderr').read_text()}")
        return json.loads(line)

    def _tell(self, message: Any) -> Any:
        assert self._process.stdin
        print(json.dumps(message), file=self._process.stdin, flush=True)
        return self._read()

    def call(self, method: str, *arguments: Any) -> Any:
        """What the method gives, undisturbed; RuntimeError if it raises."""
        outcome = self.run(method, *arguments)
        if outcome.failed or outcome.died:
            raise RuntimeError(f"{method}: {outcome.kinds[:1]} {outcome.text}{outcome.died}")
        return outcome.value

    def run(self, method: str, *arguments: Any, fault: Fault | None = None,
            record: bool = False) -> Outcome:  # fmt: skip
        """Does it in a child of the node; with a fault, or recorded, or neither."""
        answer, trace = self._folder / "answer", self._folder / "trace"
        answer.unlink(missing_ok=True)
        trace.unlink(missing_ok=True)
        outcome = Outcome()
        pid = self._tell([method, list(arguments), str(answer)])
        _until_in(pid, _BEFORE, _HUNG)
        before = _open_files(pid)
        with _traced(pid, trace, fault) if fault or record else contextlib.nullcontext():
            os.kill(pid, GO)
            outcome.died = _until_in(pid, _AFTER, _HUNG)
            if not outcome.died:
                outcome.leaked = sorted((_open_files(pid) - before).elements())
        if outcome.died == "hung":
            os.kill(pid, signal.SIGKILL)
        else:
            os.kill(pid, GO)
        status = self._tell(None)
        if answer.exists():
            told = json.loads(answer.read_text())
            outcome.value = told.get("value")
            outcome.kinds, outcome.text = told.get("error", []), told.get("text", "")
        else:
            outcome.died = outcome.died or f"exit status {status}"
        if trace.exists():
            lines = trace.read_text(errors="replace").splitlines()
            outcome.calls = list(_calls(lines))
            outcome.hit = next((one for one in outcome.calls if _INJECTED in one.result), None)
        return outcome


def _until_in(pid: int, number: int, hung: float) -> str:
    """Returns when the process is in this system call, or why it never will be."""
    end = time.monotonic() + hung
    while time.monotonic() < end:
        try:
            now = Path(f"/proc/{pid}/syscall").read_text().split()[0]
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return "it ended"
        except (OSError, IndexError):
            return "it ended"
        if now == str(number):
            return ""
        time.sleep(_LOOK)
    return "hung"


@contextlib.contextmanager
def _traced(pid: int, trace: Path, fault: Fault | None) -> Iterator[None]:
    command = ["strace", "-o", str(trace), "-s", "256", "-y"]
    if fault:
        command += ["-e", f"trace={fault.call}"]
        command += ["-e", f"inject={fault.call}:error={fault.error}:when={fault.ordinal}"]
    with subprocess.Popen([*command, "-p", str(pid)], stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr
        said = strace.stderr.readline()
        if "attached" not in said:
            raise RuntimeError(f"strace: {said}")
        try:
            yield
        finally:
            strace.send_signal(signal.SIGTERM)
            strace.stderr.read()


def _open_files(pid: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for fd, target in open_files(pid):
        # a socket's or pipe's number differs each time: which one is open says its descriptor
        found[re.sub(r"\[\d+\]", f" {fd}", target)] += 1
    return found


def _calls(lines: list[str]) -> Iterator[Call]:
    counts: dict[str, int] = {}
    for line in lines:
        found = _CALL.match(line)
        name = line.partition("(")[0]
        if not found or not name.isidentifier():
            continue
        counts[name] = counts.get(name, 0) + 1
        arguments = found["arguments"].removesuffix(")")
        yield Call(name, arguments, found["result"], counts[name])
