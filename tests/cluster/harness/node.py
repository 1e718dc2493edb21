"""One node of the cluster: its files, its daemons, its QEMU processes, and our module in it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .namespaces import CommandFailed, Layers, Namespaces

PYTHON = "/usr/bin/python3"
SUPPLIES = "/srv/supplies"  # read-only things of the harness, the same folder in every node
_DAEMON_TIMEOUT = 60.0


class Node:
    """A started node. Paths are those that the node's own processes see."""

    def __init__(self, name: str, address: str, layers: Layers) -> None:
        self.name = name
        self.address = address
        self.namespaces = Namespaces(name, layers)

    @property
    def short_name(self) -> str:
        return self.name.partition(".")[0]

    # Commands and files

    def run(
        self, *argv: str, timeout: float = 120.0, check: bool = True, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return self.namespaces.run(*argv, timeout=timeout, check=check, stdin=stdin)

    def shell(self, script: str, *, timeout: float = 120.0, check: bool = True) -> str:
        """What a script prints."""
        return self.run("bash", "-euc", script, timeout=timeout, check=check).stdout

    def look_from_outside(self, program: str) -> str:
        """What a Python program prints that has this node's network, and else nothing of it."""
        enter = ["nsenter", "-t", str(self.namespaces.pid), "-n", "--"]
        command = [*enter, sys.executable, "-c", program]
        return subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=60
        ).stdout.strip()

    def path(self, inside: str) -> Path:
        """Where a file of the node is seen from here."""
        # Debian's /var/run is an absolute link, and would lead to this side's /run.
        if inside.startswith("/var/run/"):
            inside = inside.removeprefix("/var")
        return self.namespaces.root / inside.lstrip("/")

    def write(self, inside: str, text: str, mode: int = 0o644) -> None:
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def log(self, name: str = "node-daemon") -> str:
        path = self.path(f"/var/log/ganeti/{name}.log")
        return path.read_text(errors="replace") if path.exists() else ""

    # Our module

    def install(self, wheel: str) -> None:
        """Install the wheel for Debian's own Python, as an operator would."""
        # The machine's own Python may have one installed already.
        options = [
            "-q",
            "--no-index",
            "--no-deps",
            "--force-reinstall",
            "--root-user-action=ignore",
        ]
        self.run(PYTHON, "-m", "pip", "install", "--break-system-packages", *options, wheel)

    def install_packages(self, folder: Path) -> None:
        """Install .deb files as a distribution's upgrade does, while daemons and guests run."""
        inside = self.path("/srv/packages")
        shutil.copytree(folder, inside)
        self.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
        self.shell("dpkg --force-confold -i /srv/packages/*.deb", timeout=600)

    def use_ours(self) -> None:
        self.run("ganeti-hv-kvm", "enable")

    def use_original(self) -> None:
        self.run("ganeti-hv-kvm", "disable")

    def module_in_use(self) -> str:
        """ "replacement" or "original", as a Ganeti program started now would get it."""
        text = self.run("ganeti-hv-kvm", "status", "--json", check=False).stdout
        found = re.search(r'"module": "(\w+)"', text)
        return found.group(1) if found else f"unknown: {text}"

    # Daemons

    def daemon(self, action: str, name: str = "ganeti-noded") -> None:
        """ "start", "stop" or "restart" a daemon of Ganeti."""
        for one in ("stop", "start") if action == "restart" else (action,):
            self.run("/usr/lib/ganeti/daemon-util", one, name)
        if action != "stop" and name == "ganeti-noded":
            self._wait_for_port(1811)

    def kill_node_daemon(self) -> None:
        """Kill the node daemon with the requests that it is working on."""
        for pid in self.processes("/usr/sbin/ganeti-noded"):
            with contextlib.suppress(ProcessLookupError):
                self.signal(pid, signal.SIGKILL)

    def _wait_for_port(self, port: int) -> None:
        deadline = time.monotonic() + _DAEMON_TIMEOUT
        probe = f"exec 3<>/dev/tcp/{self.address}/{port}"
        while self.run("bash", "-c", probe, check=False).returncode:
            if time.monotonic() > deadline:
                raise TimeoutError(f"nothing listens on port {port} of {self.name}")
            time.sleep(0.1)

    # Instances

    def socket(self, instance: str, kind: str) -> Path:
        """A control socket of an instance: "serial", "qmp", "monitor" or "kvmd"."""
        return self.path(f"/run/ganeti/kvm-hypervisor/ctrl/{instance}.{kind}")

    def processes(self, pattern: str) -> list[int]:
        """Process ids (inside) of those whose command line matches."""
        found = []
        for entry in self.path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                line = (
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
                if line and re.search(pattern, line):
                    found.append(int(entry.name))
        return sorted(found)

    def qemu(self, instance: str) -> int | None:
        """The process id (inside) of an instance's QEMU, also of one that waits for a migration."""
        found = self.processes(rf"qemu-system\S* .*-name {re.escape(instance)}[ ,]")
        return found[0] if found else None

    def signal(self, pid: int, number: signal.Signals) -> None:
        """Signal a process of the node at once; nothing is started for it."""
        os.kill(self._pid_outside(pid), number)

    def _pid_outside(self, pid: int) -> int:
        namespace = os.readlink(f"/proc/{self.namespaces.pid}/ns/pid")
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{entry}/ns/pid") == namespace:
                    status = Path(f"/proc/{entry}/status").read_text()
                    if re.search(rf"^NSpid:.*\s{pid}$", status, re.M):
                        return int(entry)
        raise ProcessLookupError(f"{self.short_name} has no process {pid}")

    def command_line(self, pid: int) -> list[str]:
        data = self.path(f"/proc/{pid}/cmdline").read_bytes()
        return data.rstrip(b"\0").decode(errors="replace").split("\0")

    # What an instance leaves

    def traces(self, instance: str) -> list[str]:
        """Files, processes and interfaces that belong to an instance."""
        found = [f"process {pid}" for pid in self.processes(rf"qemu-system.*{re.escape(instance)}")]
        run_folder = self.path("/run/ganeti/kvm-hypervisor")
        for folder, folders, files in os.walk(run_folder):
            inside = f"{Path(folder).relative_to(run_folder)}"
            found += [f"{inside}/{name}" for name in folders + files if name.startswith(instance)]
        return found

    def expect_no_traces(self, instance: str) -> None:
        """AssertionError if anything of an instance is here."""
        found = self.traces(instance)
        assert not found, f"left on {self.short_name}: {', '.join(found)}"

    def taps(self) -> list[str]:
        """The TAP devices of this node."""
        text = self.path("/proc/1/net/dev").read_text()
        return re.findall(r"^\s*((?:tap|gnt)[^:\s]*):", text, re.M)


def prepare(node: Node, hosts: str, keys: Path, storage: Sequence[str]) -> None:
    """What an administrator does before `gnt-cluster init` or `gnt-node add`."""
    node.write("/etc/hosts", hosts)
    node.write("/etc/hostname", f"{node.name}\n")
    node.write("/etc/ganeti/file-storage-paths", "".join(f"{folder}\n" for folder in storage))
    for folder in storage:
        node.path(folder).mkdir(parents=True, exist_ok=True)
    node.path("/usr/sbin/policy-rc.d").unlink(missing_ok=True)
    _network(node)
    _ssh(node, keys)


def _network(node: Node) -> None:
    # A bridge without an address of its own takes the lowest of its ports': with a guest's TAP it
    # would change, and the other node be cut off until it asks again (some seconds, seen).
    node.shell(
        "ip link set lo up; ip link add name br0 type bridge; ip link set eth0 master br0 up;"
        " ip link set br0 address $(cat /sys/class/net/eth0/address);"
        f" ip link set br0 up; ip address add {node.address}/24 dev br0"
    )


def _ssh(node: Node, keys: Path) -> None:
    """One key pair, for hosts and for root, on all nodes."""
    host_keys = node.path("/etc/ssh")
    for old in host_keys.glob("ssh_host_*"):
        old.unlink()
    home = node.path("/root/.ssh")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(mode=0o700)
    for kind in ("rsa", "ed25519"):
        for suffix in ("", ".pub"):
            for target in (host_keys / f"ssh_host_{kind}_key{suffix}", home / f"id_{kind}{suffix}"):
                shutil.copyfile(keys / f"{kind}{suffix}", target)
                target.chmod(0o600)
    public = "".join((keys / f"{kind}.pub").read_text() for kind in ("rsa", "ed25519"))
    node.write("/root/.ssh/authorized_keys", public, 0o600)
    node.write("/etc/ssh/sshd_config.d/cluster.conf", "PermitRootLogin yes\nUseDNS no\n")
    node.shell("chown -R root:root /root/.ssh /etc/ssh; mkdir -p /run/sshd; /usr/sbin/sshd")


__all__ = ["PYTHON", "SUPPLIES", "CommandFailed", "Node", "prepare"]
