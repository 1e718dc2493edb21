"""Makes a node's namespaces and runs commands in them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_INIT = Path(__file__).with_name("node_init.sh")
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "TERM": "xterm",
}
_START_TIMEOUT = 30.0


@dataclass(frozen=True)
class Layers:
    """Where a node's files come from and go to."""

    lower: Sequence[Path]  # the uppermost first
    changes: Path
    mount_point: Path
    seen_inside: Sequence[tuple[Path, str]] = ()  # folders outside, and where they are inside


class Namespaces:
    """Network, mount, uts, pid and ipc namespaces with a process 1; they end with `end`."""

    def __init__(self, host_name: str, layers: Layers) -> None:
        pairs = [str(part) for pair in layers.seen_inside for part in pair]
        lower = ":".join(map(str, layers.lower))
        arguments = [str(layers.mount_point), lower, str(layers.changes), host_name, *pairs]
        unshare = ["unshare", "--net", "--mount", "--uts", "--pid", "--ipc", "--fork"]
        self._process = subprocess.Popen(
            [*unshare, "--kill-child", "--", "bash", str(_INIT), *arguments],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=_ENVIRONMENT,
        )
        self.pid = self._wait_for_first_process()

    def _wait_for_first_process(self) -> int:
        """The process 1, as seen from here, once it has its root file system."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                assert self._process.stderr
                raise RuntimeError(f"a node did not start: {self._process.stderr.read().decode()}")
            for child in children.read_text().split():
                command = Path(f"/proc/{child}/cmdline").read_bytes()
                if command.startswith(b"/usr/bin/tini"):
                    return int(child)
            time.sleep(0.02)
        self.end()
        raise TimeoutError(f"a node did not start within {_START_TIMEOUT:g} s")

    @property
    def root(self) -> Path:
        """The node's root folder as seen from here; an absolute link in it leads out of it."""
        return Path(f"/proc/{self.pid}/root")

    def command(self, *argv: str) -> list[str]:
        """What to run here to have ``argv`` run inside."""
        return ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", "--", *argv]

    def run(
        self, *argv: str, timeout: float = 120.0, check: bool = True, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside, in a clean environment; both its outputs are captured."""
        process = self._open(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            output, errors = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{' '.join(argv)}: no end within {timeout:g} s") from None
        finally:
            end_command(process)
        result = subprocess.CompletedProcess(argv, process.returncode, output, errors)
        if check and result.returncode:
            raise CommandFailed(argv, result)
        return result

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Begin a command inside; both its outputs come as one."""
        return self._open(argv, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT)

    def _open(self, argv: Sequence[str], stdin: int, stderr: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*argv),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            errors="replace",
            env=_ENVIRONMENT,
            cwd="/",
        )

    def end(self) -> None:
        """End every process inside; the mounts and interfaces go with them."""
        with_child = self._process
        if with_child.poll() is None:
            with_child.send_signal(signal.SIGKILL)
        with_child.wait()
        if with_child.stderr:
            with_child.stderr.close()


def end_command(process: subprocess.Popen[str]) -> None:
    """End a command that runs inside: nsenter's child, which would outlive nsenter."""
    if process.poll() is None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                os.kill(int(child), signal.SIGKILL)
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            pipe.close()


class CommandFailed(Exception):
    """A command ended with an error; the text holds what it printed."""

    def __init__(self, argv: Sequence[str], result: subprocess.CompletedProcess[str]) -> None:
        self.status = result.returncode
        self.output = result.stdout + result.stderr
        super().__init__(f"{' '.join(argv)}: exit status {result.returncode}\n{self.output}")


def connect(namespaces: Sequence[Namespaces], bridge: str) -> None:
    """Join nodes by a bridge out here; inside, each has an interface "eth0"."""
    _ip("link", "add", "name", bridge, "type", "bridge")
    _ip("link", "set", bridge, "up")
    for number, one in enumerate(namespaces, start=1):
        outer = f"{bridge}-{number}"
        inner = ("peer", "name", "eth0", "netns", str(one.pid))
        _ip("link", "add", "name", outer, "type", "veth", *inner)
        _ip("link", "set", outer, "master", bridge, "up")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, env={**os.environ, "LC_ALL": "C.UTF-8"})


def mount_area(folder: Path, gibibytes: int = 12) -> None:
    """A file system in memory: an overlay's changes must not lie below its own lower layer."""
    folder.mkdir(parents=True, exist_ok=True)
    if not os.path.ismount(folder):
        options = f"size={gibibytes}g,mode=755"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)


def unmount_area(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], check=True)
    shutil.rmtree(folder, ignore_errors=True)
